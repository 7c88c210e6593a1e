//! Colour, for those who want it. Whether they do is decided by the caller: a terminal, `NO_COLOR`.

/// What a piece of text says about how things go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    /// Nothing.
    Plain,
    /// Something went well.
    Good,
    /// Something is to be watched.
    Caution,
    /// Something went wrong.
    Bad,
    /// Of little importance.
    Faint,
}

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) color: bool,
}

impl Paint {
    /// Appends `text` in the colour of `tone`. The text must be harmless already.
    pub(super) fn push(self, out: &mut String, tone: Tone, text: &str) {
        let code = match tone {
            Tone::Plain => "",
            Tone::Good => "\x1b[32m",
            Tone::Caution => "\x1b[33m",
            Tone::Bad => "\x1b[31m",
            Tone::Faint => "\x1b[2m",
        };
        if self.color && !code.is_empty() {
            out.push_str(code);
            out.push_str(text);
            out.push_str("\x1b[0m");
        } else {
            out.push_str(text);
        }
    }
}
