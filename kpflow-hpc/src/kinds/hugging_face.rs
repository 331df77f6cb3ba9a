//! What Hugging Face's `config.json` says of a checkpoint, and what its tensors tell where there is none.

use super::Source;
use crate::error::{some_of, Result};
use crate::job::FAMILIES;

/// How the tokens of a model count their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// 0, 1, 2, …
    FromZero,
    /// Tokens other than the padding count from `padding` + 1; the padding token itself is at `padding`.
    After { padding: usize },
}

/// Of the families below those whose positions count behind the padding token's number.
const ROBERTA: [&str; 4] = ["roberta", "xlm-roberta", "camembert", "data2vec-text"];

/// Tensors that only models have which look like BERT and are not: what their names hold, and the model.
const OTHERS: [(&str, &str); 10] = [
    ("embeddings.task_type_embeddings.", "an ERNIE with task types"),
    ("embeddings_project.", "an ELECTRA whose embedding is of another width than its layers"),
    ("transformer.layer.0.attention.q_lin.", "a DistilBERT"),
    ("encoder.albert_layer_groups.", "an ALBERT"),
    ("encoder.relative_attention_bias.", "an MPNet"),
    ("encoder.rel_embeddings.", "a DeBERTa"),
    ("attention.self.query_proj.", "a DeBERTa"),
    ("attention.self.distance_embedding.", "a BERT with relative positions"),
    ("encoder.layer.0.attention.LayerNorm.", "a pre-LayerNorm RoBERTa"),
    ("crossattention.", "a decoder with cross-attention"),
];

impl Source<'_> {
    /// Fails where config.json says of the model what it is not here: each key with the values that are right.
    pub(super) fn same_as_config(&self, right: &[(&str, &[serde_json::Value])]) -> Result<()> {
        let config = self.checkpoint.config()?;
        for (key, values) in right {
            if let Some(said) = config.get(key).filter(|said| !values.contains(said)) {
                let what = format!("is not what its config.json says: {key} = {said}; here it is {}", values[0]);
                return Err(self.wrong(what));
            }
        }
        Ok(())
    }

    /// The model that the job, or else config.json, says it is.
    fn model_type(&self) -> Result<Option<String>> {
        let said = self.checkpoint.config()?.get("model_type").and_then(|t| t.as_str()).map(String::from);
        Ok(self.spec.model_type.clone().or(said))
    }

    /// Fails if config.json names a model that this kind does not run.
    pub(super) fn model_is_one_of(&self, right: &[&str]) -> Result<()> {
        match self.model_type()?.filter(|t| !right.contains(&t.as_str())) {
            Some(other) => {
                let kind = self.spec.kind.name();
                let what = format!(
                    "is a model of type {other}, says its config.json; kind = \"{kind}\" runs {}. Export it to ONNX (scripts/export_torch.py)",
                    some_of(right)
                );
                Err(self.wrong(what))
            }
            None => Ok(()),
        }
    }

    /// How a model of BERT's shape counts positions: as its family does, which the job or config.json says, or else its tensors tell.
    ///
    /// **Errors**: it is of a family that differs in more than this, or it cannot be told.
    pub(super) fn positions(&self) -> Result<Positions> {
        let names = self.checkpoint.names();
        if let Some((_, model)) = OTHERS.iter().find(|(mark, _)| names.iter().any(|n| n.contains(mark))) {
            let what = format!("is {model}, by its tensors; kind = \"bert\" runs {}", some_of(&FAMILIES));
            return Err(self.wrong(format!("{what}. Export it to ONNX (scripts/export_torch.py)")));
        }
        self.model_is_one_of(&FAMILIES)?;
        let padding = self.checkpoint.config()?.get("pad_token_id").and_then(|p| p.as_u64()).map_or(1, |p| p as usize);
        match self.model_type()? {
            Some(family) if ROBERTA.contains(&family.as_str()) => Ok(Positions::After { padding }),
            Some(_) => Ok(Positions::FromZero),
            None => self.positions_by_tensors(),
        }
    }

    /// RoBERTa has one token type and no position of the padding, whose row is 0; BERT has two types and uses every row.
    fn positions_by_tensors(&self) -> Result<Positions> {
        let types = self.axis("embeddings.token_type_embeddings.weight", 0)?;
        let name = "embeddings.position_embeddings.weight";
        let d = self.axis(name, 1)?;
        let table = self.checkpoint.numbers(name)?;
        let zero = |row: usize| table.get(row * d..(row + 1) * d).is_some_and(|r| r.iter().all(|x| *x == 0.0));
        // A table without numbers (a checkpoint to plan with) tells nothing: the token types do.
        match (types, zero(1), zero(0)) {
            (1, true, _) => Ok(Positions::After { padding: 1 }),
            (2.., false, _) | (2.., true, true) => Ok(Positions::FromZero),
            _ => {
                let what = "does not tell whether its positions count from 0 (bert) or from 2 (roberta), and has no config.json beside it";
                Err(self.wrong(format!("{what}; say model_type = \"bert\" or \"roberta\" in [model]")))
            }
        }
    }
}
