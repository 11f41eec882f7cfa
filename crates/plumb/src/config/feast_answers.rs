//! `feast_answers: {non_finite: text}`: where Feast's protocol leaves a choice.

use schema::yaml::{Fields, Mistake, suggest};

/// What an answer in Feast's protocol says of NaN and the infinities, which JSON lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// Feast's own texts, `"NaN"`, `"Infinity"` and `"-Infinity"`: its client takes them for strings.
    #[default]
    Text,
    /// Null with status `INVALID`: a column of floats has only floats.
    Invalid,
}

pub(super) fn read(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> NonFinite {
    let Some(node) = fields.optional("feast_answers") else { return NonFinite::default() };
    let mut inner = node.fields("answers in Feast's protocol", mistakes);
    let mut non_finite = NonFinite::default();
    if let Some(node) = inner.optional("non_finite")
        && let Some(text) = node.text(mistakes)
    {
        match text.as_str() {
            "text" => {}
            "invalid" => non_finite = NonFinite::Invalid,
            other => {
                let message = format!("`{other}` does not say what becomes of a float that JSON lacks");
                mistakes.push(Mistake::new(&node.place(), message).hint(suggest(other, ["text", "invalid"])));
            }
        }
    }
    inner.finish(mistakes);
    non_finite
}
