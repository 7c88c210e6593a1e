//! `[outputs]`: values without a type of their own, and the files that take them. Writes nothing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::grants::{Protected, refuse_overwrite};
use super::raw;
use super::scope::{Item, Meaning, Scope};
use super::template::Piece;
use super::tree::{Data, Tree};
use crate::id::NodeId;
use crate::model::{Expr, Node, Output, Source, Type, Value, Workflow};

/// Reads all outputs.
pub(super) fn read(outputs: &[raw::Output<'_>], scope: &Scope<'_>, protected: &Protected) -> Vec<Output> {
    let mut files: HashMap<PathBuf, &str> = HashMap::new();
    let mut all = Vec::with_capacity(outputs.len());
    for output in outputs {
        let scope = scope.with_item(Item::None("this is an output"));
        let value = scope.inferred(output.value);
        let file = match output.file.map(|tree| (tree, scope.output_file(tree, protected))) {
            None => Some(None),
            Some((_, None)) => None,
            Some((tree, Some(path))) => match files.insert(path.clone(), output.name.value) {
                None => Some(Some(path)),
                Some(other) => {
                    scope.findings.at_with_help(
                        tree.span,
                        format!("outputs `{other}` and `{}` go to the same file", output.name.value),
                        "give each its own",
                    );
                    None
                }
            },
        };
        if let (Some((value, ty)), Some(file)) = (value, file) {
            let needs = scope.needs.borrow().keys().copied().collect();
            all.push(Output { name: Arc::from(output.name.value), value, ty, needs, file });
        }
    }
    all
}

/// The outputs of a file that names none: every value that no other task or group uses, but for
/// those that say nothing.
pub(super) fn unused(nodes: &[Node]) -> Vec<Output> {
    let used = Workflow::used(nodes.len(), nodes.iter().flat_map(Node::expressions));
    let silent = [Type::unit(), Type::list(Type::unit())];
    let unused =
        (0_u32..).map(NodeId).zip(nodes).zip(used).filter(|((_, node), used)| !used && node.inside.is_none());
    let told = unused.map(|(node, _)| node).filter(|(_, node)| !silent.contains(&node.value));
    told.map(|(id, node)| Output {
        name: Arc::clone(&node.name),
        value: Expr::Reference { source: Source::Node(id), path: Vec::new() },
        ty: node.value.clone(),
        needs: [id].into(),
        file: None,
    })
    .collect()
}

impl Scope<'_> {
    /// A value and the type that it has by itself.
    fn inferred(&self, tree: &Tree) -> Option<(Expr, Type)> {
        let literal = |value| Expr::Literal(value);
        Some(match &tree.data {
            Data::Refused => return None,
            Data::Bool(value) => (literal(Value::Bool(*value)), Type::Bool),
            Data::Integer(number) => (literal(Value::S64(*number)), Type::S64),
            Data::Float(number) => (literal(Value::F64(*number)), Type::F64),
            Data::String(text) => {
                let pieces = self.pieces(text, tree.span)?;
                let [Piece::Reference(reference)] = pieces.as_slice() else {
                    return Some((self.typed(tree, &Type::String)?, Type::String));
                };
                match self.look_up(reference, self.span_of(tree.span, text, reference))? {
                    Meaning::Input(given) => (literal(given.value), given.ty),
                    Meaning::Part { source, path, ty } => (Expr::Reference { source, path }, ty),
                    Meaning::Json { .. } => return None,
                }
            }
            Data::Array(items) => {
                let parts: Vec<_> = items.iter().map(|item| self.inferred(item)).collect();
                let (parts, types): (Vec<_>, Vec<_>) =
                    parts.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
                match types.split_first() {
                    // A list of u8 would be bytes, which are never put together from parts.
                    Some((first, rest)) if *first != Type::U8 && rest.iter().all(|ty| ty == first) => {
                        (Expr::List(parts), Type::list(first.clone()))
                    }
                    _ => (Expr::Tuple(parts), Type::Tuple(types.into())),
                }
            }
            Data::Table(entries) => {
                let fields: Vec<_> = entries.iter().map(|entry| self.inferred(&entry.value)).collect();
                let (parts, types): (Vec<_>, Vec<_>) =
                    fields.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
                let names = entries.iter().map(|entry| Arc::from(entry.key.as_str()));
                (Expr::Record(parts), Type::record(names.zip(types)))
            }
        })
    }

    fn output_file(&self, tree: &Tree, protected: &Protected) -> Option<PathBuf> {
        let written = self.fixed_text(tree, "`file`")?;
        let path = match self.is_given(tree) {
            true => match self.folders.given(&written) {
                Ok(path) => path,
                Err(error) => {
                    self.findings.at_with_help(tree.span, error.to_string(), error.help());
                    return None;
                }
            },
            false => self.below_root(&written, tree.span)?,
        };
        if written.ends_with('/') || path.is_dir() {
            let help = "name a file in it, such as \"out/result.json\"";
            self.findings.at_with_help(tree.span, format!("`{written}` is a folder, not a file"), help);
            return None;
        }
        if let Some(what) = protected.covered_by(&path) {
            refuse_overwrite(self, tree.span, &written, what);
            return None;
        }
        Some(path)
    }
}
