//! Whether items that are written in the file as JSON fit each place that uses them. Knows nothing
//! of how they came to be.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::diagnostics::Findings;
use super::span::Span;
use super::suggest::{self, brief};
use crate::interface;
use crate::model::Type;

/// Items that are JSON, so far as they are known before anything runs.
pub(super) struct JsonItems {
    known: Known,
    /// Whether each branch has a list of them, and of how many at most.
    lists: Option<u64>,
    /// Uses that were checked already, by path, so that a thousand equal ones cost as much as one.
    checked: RefCell<HashMap<Vec<Arc<str>>, Vec<Checked>>>,
}

/// A type that was wanted, none inside text, and whether the items fit it.
type Checked = (Option<Type>, bool);

/// What is known of the items.
pub(super) enum Known {
    /// All of them, each with where it stands.
    Items(Vec<(Json, Span)>),
    /// The first and the last of a range, with where they stand.
    Ends(Box<[(Json, Span); 2]>),
    /// The axes that every item is a choice from.
    Axes(Vec<Axis>),
    /// Nothing but that they are lines of a file.
    Lines,
}

/// An axis of a matrix: values and where they stand.
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) values: Vec<(Json, Span)>,
}

/// So many items of one use are reported.
const REPORTED: usize = 5;

/// A place that uses items.
#[derive(Clone)]
struct Use<'u> {
    /// As the reference says.
    whole: &'u [Arc<str>],
    /// Of it, what leads into one item.
    path: &'u [Arc<str>],
    /// None is inside text.
    ty: Option<&'u Type>,
    span: Span,
    findings: &'u Findings,
}

impl JsonItems {
    pub(super) fn new(known: Known) -> Self {
        Self { known, lists: None, checked: RefCell::default() }
    }

    /// The same, in lists of at most so many.
    pub(super) fn lists(self, most: u64) -> Self {
        Self { lists: Some(most), ..self }
    }

    /// Whether every item that is known has a `ty` at `path`. Problems are reported at the items.
    pub(super) fn check(&self, path: &[Arc<str>], ty: &Type, span: Span, findings: &Findings) -> bool {
        self.check_once(&Use { whole: path, path, ty: Some(ty), span, findings })
    }

    /// Whether every item that is known has something at `path` that can stand inside text.
    pub(super) fn check_text(&self, path: &[Arc<str>], span: Span, findings: &Findings) -> bool {
        self.check_once(&Use { whole: path, path, ty: None, span, findings })
    }

    fn check_once(&self, place: &Use<'_>) -> bool {
        let mut checked = self.checked.borrow_mut();
        let known = checked.entry(place.path.to_vec()).or_default();
        if let Some((_, fits)) = known.iter().find(|(ty, _)| ty.as_ref() == place.ty) {
            return *fits;
        }
        let inside = match self.lists {
            None => Some(place.clone()),
            Some(most) => place.in_list(most),
        };
        let fits = inside.is_some_and(|place| match &self.known {
            Known::Lines => true,
            Known::Items(items) => place.all_fit(items, place.path, place.ty),
            Known::Ends(ends) => place.ends_fit(ends),
            Known::Axes(axes) => place.axes_fit(axes),
        });
        known.push((place.ty.cloned(), fits));
        fits
    }
}

impl Use<'_> {
    /// What is wanted of each item of a list of at most `most`; none where no list would do.
    fn in_list(&self, most: u64) -> Option<Self> {
        if let Some((position, path)) = self.path.split_first() {
            return match position.parse::<u64>() {
                Ok(position) if position < most => Some(Self { path, ..self.clone() }),
                Ok(_) => {
                    let message =
                        format!("`{}` names an item that no list has: {most} are in each", self.reference());
                    self.findings.at_with_help(self.span, message, "the first is `${item.0}`");
                    None
                }
                Err(_) => {
                    self.findings.at_with_help(
                        self.span,
                        format!(
                            "`{}` names a part of one item, and `split` makes lists of them",
                            self.reference()
                        ),
                        "pass the list on as a whole, or name one by position: `${item.0}` is the first",
                    );
                    None
                }
            };
        }
        let mut wanted = self.ty;
        while let Some(Type::Option(inner)) = wanted {
            wanted = Some(inner);
        }
        match wanted {
            Some(Type::List(element)) if **element != Type::U8 => {
                Some(Self { ty: Some(element), ..self.clone() })
            }
            Some(ty) => {
                self.findings.at_with_help(
                    self.span,
                    format!("`${{item}}` is a list of items here, but `{}` is wanted", brief(ty)),
                    "`split` makes lists; name a task that takes one, or leave `split` out",
                );
                None
            }
            None => {
                self.findings.at_with_help(
                    self.span,
                    "`${item}` is a list of items here, and no list can stand inside text",
                    "name one by position: `${item.0}` is the first",
                );
                None
            }
        }
    }

    /// As the file writes it.
    fn reference(&self) -> String {
        let mut text = "${item".to_owned();
        for segment in self.whole {
            text.push('.');
            text.push_str(segment);
        }
        text.push('}');
        text
    }

    fn all_fit(&self, items: &[(Json, Span)], path: &[Arc<str>], ty: Option<&Type>) -> bool {
        let mut problems = 0;
        for (item, span) in items {
            if !self.fits(item, *span, path, ty) {
                problems += 1;
                if problems == REPORTED {
                    break;
                }
            }
        }
        problems == 0
    }

    /// Where no number fits, one of them is enough to say so.
    fn ends_fit(&self, ends: &[(Json, Span); 2]) -> bool {
        let mut wanted = self.ty;
        while let Some(Type::Option(inner)) = wanted {
            wanted = Some(inner);
        }
        let takes_numbers = self.path.is_empty() && wanted.is_some_and(is_number);
        let told = if takes_numbers { &ends[..] } else { &ends[..1] };
        self.all_fit(told, self.path, self.ty)
    }

    /// An object fits a record field by field, so each axis is checked by itself: their product may
    /// have millions of items.
    fn axes_fit(&self, axes: &[Axis]) -> bool {
        if let Some((first, rest)) = self.path.split_first() {
            if let Some(axis) = axes.iter().find(|axis| *axis.name == **first) {
                return self.all_fit(&axis.values, rest, self.ty);
            }
            let help = suggest::or_list(first, axes.iter().map(|axis| axis.name.as_str()), "");
            self.findings.at_with_help(self.span, format!("the matrix has no axis `{first}`"), help);
            return false;
        }
        let first = axes.iter().filter_map(|axis| Some((axis.name.clone(), axis.values.first()?.0.clone())));
        let first = Json::Object(first.collect());
        if !self.fits(&first, self.span, &[], self.ty) {
            return false;
        }
        let mut record = self.ty;
        while let Some(Type::Option(inner)) = record {
            record = Some(inner);
        }
        match (record, axes) {
            (Some(Type::Record(record)), axes) => axes.iter().all(|axis| {
                let field = record.members.iter().find(|field| *field.name == *axis.name);
                field.is_none_or(|field| self.all_fit(&axis.values, &[], Some(&field.ty)))
            }),
            (_, [axis]) => axis.values.iter().all(|(value, span)| {
                let item = [(axis.name.clone(), value.clone())].into_iter().collect();
                self.fits(&Json::Object(item), *span, &[], self.ty)
            }),
            // Nothing else that an object of several keys fits.
            _ => true,
        }
    }

    fn fits(&self, item: &Json, span: Span, path: &[Arc<str>], ty: Option<&Type>) -> bool {
        let reference = self.reference();
        let (message, help) = match pick(item, path) {
            Err(Missing { segment, among }) => (
                format!("this item has no `{segment}`, which `{reference}` names"),
                match suggest::list(among.iter().map(String::as_str)) {
                    Some(list) => format!("it has {list}"),
                    None => "it has no parts at all".to_owned(),
                },
            ),
            Ok(part) => match read(part, ty) {
                Ok(()) => return true,
                Err(reason) => (
                    format!("this does not fit where `{reference}` is used: {reason}"),
                    match ty {
                        Some(ty) => format!("the task wants `{}` there", brief(ty)),
                        None => "only strings, numbers and booleans can stand inside text".to_owned(),
                    },
                ),
            },
        };
        self.findings.at_with_help(span, message, help);
        false
    }
}

fn read(json: &Json, ty: Option<&Type>) -> Result<(), String> {
    match (ty, json) {
        (Some(ty), json) => interface::from_json(json, ty).map(drop).map_err(|error| error.to_string()),
        (None, Json::Bool(_) | Json::Number(_) | Json::String(_)) => Ok(()),
        (None, Json::Null) => Err("it is null".to_owned()),
        (None, Json::Array(_)) => Err("it is an array".to_owned()),
        (None, Json::Object(_)) => Err("it is an object".to_owned()),
    }
}

struct Missing {
    segment: String,
    among: Vec<String>,
}

/// The part of an item that a path names.
fn pick<'j>(item: &'j Json, path: &[Arc<str>]) -> Result<&'j Json, Missing> {
    let mut at = item;
    for segment in path {
        let next = match at {
            Json::Object(object) => object.get(&**segment),
            Json::Array(array) => segment.parse::<usize>().ok().and_then(|position| array.get(position)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        };
        let Some(next) = next else {
            let among = match at {
                Json::Object(object) => object.keys().cloned().collect(),
                _ => Vec::new(),
            };
            return Err(Missing { segment: segment.to_string(), among });
        };
        at = next;
    }
    Ok(at)
}

fn is_number(ty: &Type) -> bool {
    match ty {
        Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::F32
        | Type::F64 => true,
        Type::Bool
        | Type::Char
        | Type::String
        | Type::List(_)
        | Type::Option(_)
        | Type::Result { .. }
        | Type::Tuple(_)
        | Type::Record(_)
        | Type::Variant(_)
        | Type::Enum(_)
        | Type::Flags(_) => false,
    }
}
