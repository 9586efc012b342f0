//! The check of tags that an application names for a response, at the call that names them.
use freshwire_engine::limits::Options;

/// The limits that concern tags.
pub struct TagLimits {
    max_tags: usize,
    max_tag_bytes: usize,
}

impl TagLimits {
    /// As the node was told.
    pub fn new(options: &Options) -> Self {
        Self { max_tags: options.max_tags, max_tag_bytes: options.max_tag_bytes }
    }

    /// Whether these tags may join `known` others; the error is a sentence.
    pub fn check(&self, known: usize, tags: &[String]) -> Result<(), String> {
        if known + tags.len() > self.max_tags {
            return Err(format!(
                "{} tags for one response, max_tags is {}",
                known + tags.len(),
                self.max_tags
            ));
        }
        for tag in tags {
            if tag.is_empty() {
                return Err("a tag is empty".into());
            }
            if tag.len() > self.max_tag_bytes {
                return Err(format!(
                    "a tag has {} bytes, max_tag_bytes is {}",
                    tag.len(),
                    self.max_tag_bytes
                ));
            }
            if tag.chars().any(char::is_control) {
                return Err(format!("the tag {tag:?} has control characters"));
            }
        }
        Ok(())
    }
}
