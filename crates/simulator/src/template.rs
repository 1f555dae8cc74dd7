//! Texts with named holes: `{"read":"${read}",…}`.

/// A text cut at its holes, so that filling it is copying.
pub(crate) struct Template<H> {
    parts: Vec<Part<H>>,
}

enum Part<H> {
    Text(&'static str),
    Hole(H),
}

impl<H: Copy> Template<H> {
    /// Cuts `text` at each `${name}`. `None` where a hole is not closed or its name is unknown.
    pub(crate) fn parse(text: &'static str, hole: impl Fn(&str) -> Option<H>) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text.trim_end();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}')?;
            parts.push(Part::Text(before));
            parts.push(Part::Hole(hole(name)?));
            rest = tail;
        }
        parts.push(Part::Text(rest));
        Some(Self { parts })
    }

    /// Writes the text, and what `fill` writes for each hole.
    pub(crate) fn write(&self, out: &mut Vec<u8>, mut fill: impl FnMut(H, &mut Vec<u8>)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Hole(hole) => fill(*hole, out),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hole_is_filled_in_its_place() {
        let template = Template::parse("a ${x} b ${y}\n", |name| name.chars().next()).unwrap();
        let mut out = Vec::new();
        template.write(&mut out, |hole, out| out.extend_from_slice(format!("<{hole}>").as_bytes()));
        assert_eq!(String::from_utf8(out).unwrap(), "a <x> b <y>");
    }

    #[test]
    fn an_unknown_or_unclosed_hole_is_refused() {
        assert!(Template::parse("${z}", |_| None::<char>).is_none());
        assert!(Template::parse("${z", |_| Some('z')).is_none());
    }
}
