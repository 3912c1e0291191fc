//! A network's weights on a device: float32 for the proof, and bfloat16 made from them for decoding.

mod files;
mod source;

pub use files::TensorFiles;
pub use source::{Model, TensorSource};

use grail_engine::Qwen3Config;
use grail_engine::cpu::reference_frequencies;

use super::driver::{Buffer, Device, DevicePtr, Grid, Stream};
use super::error::{CudaEngineError, CudaError};

/// Length of a head's vectors that the kernels are written for.
pub const HEAD_DIM: usize = 128;
/// Threads of a block of the kernels that go through an array.
const THREADS: u32 = 256;
/// Blocks of those kernels; each thread takes several elements.
const BLOCKS: u32 = 4096;

/// All weights in float32.
#[derive(Debug)]
pub struct ExactWeights {
    /// The network's shape.
    pub config: Qwen3Config,
    /// [vocabulary, hidden]; also the output layer when that is tied.
    pub embedding: Buffer<f32>,
    /// One per layer.
    pub layers: Vec<ExactLayer>,
    /// The last norm.
    pub final_norm: Buffer<f32>,
    /// The output layer, if it has weights of its own.
    pub untied_head: Option<Buffer<f32>>,
    /// Factors that turn a position into angles.
    pub inverse_frequencies: Buffer<f32>,
}

/// One layer in float32. Matrices that read the same input stand one behind the other.
#[derive(Debug)]
pub struct ExactLayer {
    /// Norm before attention.
    pub input_norm: Buffer<f32>,
    /// Queries, keys and values: [queries + 2 · keys, hidden].
    pub queries_keys_values: Buffer<f32>,
    /// Norm of each query head.
    pub query_norm: Buffer<f32>,
    /// Norm of each key head.
    pub key_norm: Buffer<f32>,
    /// [hidden, queries].
    pub attention_output: Buffer<f32>,
    /// Norm before the feed-forward layer.
    pub feed_forward_norm: Buffer<f32>,
    /// Gates and values: [2 · inner, hidden].
    pub gates_values: Buffer<f32>,
    /// [hidden, inner].
    pub feed_forward_output: Buffer<f32>,
}

/// The matrices in bfloat16, in the same order.
#[derive(Debug)]
pub struct HalfWeights {
    /// [vocabulary, hidden], for looking up.
    pub embedding: Buffer<u16>,
    /// One per layer.
    pub layers: Vec<HalfLayer>,
    /// The output layer, if it has weights of its own.
    pub untied_head: Option<Buffer<u16>>,
}

/// One layer's matrices in bfloat16.
#[derive(Debug)]
pub struct HalfLayer {
    /// As in [`ExactLayer`].
    pub queries_keys_values: Buffer<u16>,
    /// As in [`ExactLayer`].
    pub attention_output: Buffer<u16>,
    /// As in [`ExactLayer`].
    pub gates_values: Buffer<u16>,
    /// As in [`ExactLayer`].
    pub feed_forward_output: Buffer<u16>,
}

impl ExactWeights {
    /// Brings all tensors onto the stream's device.
    ///
    /// # Errors
    /// If one is missing or of another shape, the shape is not one that the kernels run, or memory is not enough.
    pub fn load(config: &Qwen3Config, stream: &Stream, source: &mut dyn TensorSource) -> Result<Self, CudaEngineError> {
        check_shape(config)?;
        let mut loader = Loader { stream, source };
        let (vocabulary, hidden) = (config.vocab_size, config.hidden_size);
        let embedding = loader.matrices(&["model.embed_tokens"], &[vocabulary], hidden)?;
        let layers = (0..config.layers).map(|index| loader.layer(config, index)).collect::<Result<_, _>>()?;
        let final_norm = loader.vector("model.norm", hidden)?;
        let head = (!config.tied_embeddings).then(|| loader.matrices(&["lm_head"], &[vocabulary], hidden));
        let untied_head = head.transpose()?;
        let frequencies = reference_frequencies(config.rope_theta, config.head_dim);
        let inverse_frequencies = Buffer::of(stream.device(), &frequencies, "the rotary frequencies")?;
        stream.synchronize()?;
        Ok(Self { config: config.clone(), embedding, layers, final_norm, untied_head, inverse_frequencies })
    }

    /// Returns where the output layer is.
    pub fn head(&self) -> DevicePtr {
        self.untied_head.as_ref().unwrap_or(&self.embedding).address()
    }
}

impl HalfWeights {
    /// Rounds the matrices of `exact` to bfloat16, on the device.
    ///
    /// # Errors
    /// If memory is not enough.
    pub fn of(exact: &ExactWeights, stream: &Stream) -> Result<Self, CudaError> {
        let layer = |layer: &ExactLayer| {
            Ok(HalfLayer {
                queries_keys_values: narrowed(stream, &layer.queries_keys_values)?,
                attention_output: narrowed(stream, &layer.attention_output)?,
                gates_values: narrowed(stream, &layer.gates_values)?,
                feed_forward_output: narrowed(stream, &layer.feed_forward_output)?,
            })
        };
        let layers = exact.layers.iter().map(layer).collect::<Result<_, CudaError>>()?;
        let untied_head = exact.untied_head.as_ref().map(|head| narrowed(stream, head)).transpose()?;
        let half = Self { embedding: narrowed(stream, &exact.embedding)?, layers, untied_head };
        stream.synchronize()?;
        Ok(half)
    }

    /// Returns where the output layer is.
    pub fn head(&self) -> DevicePtr {
        self.untied_head.as_ref().unwrap_or(&self.embedding).address()
    }

    /// Returns bytes that a decoding step reads at least once: every matrix but the embedding if that is only looked
    /// up.
    pub fn bytes_per_step(&self) -> u64 {
        let of_layer = |layer: &HalfLayer| {
            let HalfLayer { queries_keys_values, attention_output, gates_values, feed_forward_output } = layer;
            queries_keys_values.len() + attention_output.len() + gates_values.len() + feed_forward_output.len()
        };
        let head = self.untied_head.as_ref().unwrap_or(&self.embedding).len();
        2 * (self.layers.iter().map(of_layer).sum::<usize>() + head) as u64
    }
}

/// Takes tensors from a source into fresh buffers.
struct Loader<'a> {
    stream: &'a Stream,
    source: &'a mut dyn TensorSource,
}

impl Loader<'_> {
    fn layer(&mut self, config: &Qwen3Config, index: usize) -> Result<ExactLayer, CudaEngineError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.query_size(), config.key_value_size());
        let named = |name: &str| format!("model.layers.{index}.{name}");
        let [q, k, v] = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(named);
        let [gate, up] = ["mlp.gate_proj", "mlp.up_proj"].map(named);
        Ok(ExactLayer {
            input_norm: self.vector(&named("input_layernorm"), hidden)?,
            queries_keys_values: self.matrices(&[&q, &k, &v], &[queries, keys, keys], hidden)?,
            query_norm: self.vector(&named("self_attn.q_norm"), config.head_dim)?,
            key_norm: self.vector(&named("self_attn.k_norm"), config.head_dim)?,
            attention_output: self.matrices(&[&named("self_attn.o_proj")], &[hidden], queries)?,
            feed_forward_norm: self.vector(&named("post_attention_layernorm"), hidden)?,
            gates_values: self.matrices(&[&gate, &up], &[inner, inner], hidden)?,
            feed_forward_output: self.matrices(&[&named("mlp.down_proj")], &[hidden], inner)?,
        })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Buffer<f32>, CudaEngineError> {
        let buffer = Buffer::zeroed(self.stream.device(), len, "the norms")?;
        self.source.place(self.stream, &format!("{name}.weight"), &[len], buffer.address())?;
        Ok(buffer)
    }

    /// Matrices of equal row length, one behind the other.
    fn matrices(&mut self, names: &[&str], rows: &[usize], columns: usize) -> Result<Buffer<f32>, CudaEngineError> {
        let total: usize = rows.iter().sum();
        let buffer = Buffer::zeroed(self.stream.device(), total * columns, "the float32 weights")?;
        let mut start = 0;
        for (name, rows) in names.iter().zip(rows) {
            self.source.place(self.stream, &format!("{name}.weight"), &[*rows, columns], buffer.at(start * columns))?;
            start += rows;
        }
        Ok(buffer)
    }
}

/// Returns the grid of the kernels that go through an array of any length.
fn sweep() -> Grid {
    Grid::row(BLOCKS, THREADS)
}

fn narrowed(stream: &Stream, exact: &Buffer<f32>) -> Result<Buffer<u16>, CudaError> {
    let half = Buffer::zeroed(stream.device(), exact.len(), "the bfloat16 weights")?;
    let pairs = (exact.len() / 2) as u64;
    stream.launch("narrow_float32", sweep(), &[exact.address().into(), half.address().into(), pairs.into()])?;
    Ok(half)
}

/// Checks that the model has a shape that the kernels support.
fn check_shape(config: &Qwen3Config) -> Result<(), CudaError> {
    let unusual = |what: String| Err(CudaError::Shape { what });
    if config.head_dim != HEAD_DIM {
        return unusual(format!("heads of length {}; they take {HEAD_DIM}", config.head_dim));
    }
    if ![128, 2560].contains(&config.hidden_size) {
        return unusual(format!("hidden states of length {}; they take 128 or 2560", config.hidden_size));
    }
    let group = config.heads / config.key_value_heads;
    if ![1, 2, 4, 8].contains(&group) {
        return unusual(format!("{group} query heads to a key head; they take 1, 2, 4 or 8"));
    }
    if !config.intermediate_size.is_multiple_of(8) || !config.vocab_size.is_multiple_of(8) {
        return unusual("a vocabulary or inner size that is not a multiple of 8".to_owned());
    }
    Ok(())
}

/// Fails if the device has less memory than the weights take, in float32 and bfloat16.
pub(crate) fn check_memory(config: &Qwen3Config, device: &Device) -> Result<(), CudaError> {
    let layer =
        (config.query_size() * 2 + config.key_value_size() * 2 + 3 * config.intermediate_size) * config.hidden_size;
    let vocabulary = config.vocab_size * config.hidden_size * if config.tied_embeddings { 1 } else { 2 };
    let bytes = ((layer * config.layers + vocabulary) * 6) as u64;
    let (free, _) = device.memory()?;
    if bytes > free { Err(CudaError::OutOfMemory { what: "the weights", bytes }) } else { Ok(()) }
}
