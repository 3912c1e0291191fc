//! In which order cuBLAS sums the products of a length, and which of its kernels do it fastest.
//!
//! For each length cuBLAS takes another kernel, and kernels differ in how many parts they split a sum into. That
//! number, and not the tile or the count of vectors, decides the bits (seen on H200 for every shape and length tried).
//! So lengths that are summed alike can be computed together, and by the kernel of that order that is fastest for this
//! many vectors. Nothing of this is assumed: for every length, the kernel's answer is compared bit for bit with
//! cuBLAS's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grail_engine::Qwen3Config;

use super::Prover;
use super::lanes::Lanes;
use super::products::{Chosen, Linear, mix, scores};
use crate::driver::{
    Algorithm, Buffer, DevicePtr, Event, Grid, MatrixShape, Operands, Stream, StridedShape, Summation,
};
use crate::error::CudaError;

/// Kernels that are timed again for another number of vectors.
const SHORTLIST: usize = 5;
/// Numbers of vectors up to each of these take the same kernel; beyond the last, those up to the same multiple of it.
const ROW_CLASSES: [usize; 7] = [256, 512, 768, 1024, 1536, 2048, 4096];
/// The memory for trials is a multiple of this many float32 values.
const TRIAL_STEP: usize = 1 << 24;
/// How often a kernel is timed.
const TIMED: u32 = 4;

/// Which family of kernels each linear layer's products are summed by. Lengths of one order can be computed together.
pub type SummationOrder = [u8; 5];

/// Kernels that give the same bits for one shape of matrix.
struct Family {
    summation: Summation,
    /// The one that cuBLAS took first, and those that are known to be fast.
    kernels: Vec<Algorithm>,
    is_shortlisted: bool,
    chosen: BTreeMap<usize, Algorithm>,
}

/// Everything found out so far about a network on a device. Provers of the same device, network and plan share it.
#[derive(Clone, Default)]
pub struct SummationOrders(Arc<Mutex<Found>>);

impl SummationOrders {
    /// The prover that finds something out holds it, so that the others wait rather than find out the same.
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Found {
    lengths: BTreeMap<usize, Option<SummationOrder>>,
    families: Families,
    /// Memory for products that are tried out. Freed and taken again each time, it would wait for all other work.
    room: Option<TrialRoom>,
}

/// For each linear layer, the families of kernels that were met with.
type Families = [Vec<Family>; 5];

impl Prover {
    /// Returns the order in which cuBLAS sums for sequences of this length; none if its kernels cannot be named, so
    /// that such sequences must be proved one by one.
    ///
    /// # Errors
    /// If the device fails.
    pub fn order(&self, length: usize) -> Result<Option<SummationOrder>, CudaError> {
        if !self.plan.named {
            return Ok(None);
        }
        let mut found = self.orders.found();
        if let Some(order) = found.lengths.get(&length) {
            return Ok(*order);
        }
        let order = self.find_order(length, &mut found)?;
        found.lengths.insert(length, order);
        Ok(order)
    }

    /// Finds out beforehand what proofs of sequences of this length need: their order, and for every number of rows up to
    /// `rows_max` the fastest kernels of that order.
    ///
    /// # Errors
    /// If the device fails.
    pub fn prepare(&self, length: usize, rows_max: usize) -> Result<(), CudaError> {
        let Some(order) = self.order(length)? else { return Ok(()) };
        let classes = ROW_CLASSES.into_iter().take_while(|class| *class <= rows_max);
        classes.map(|rows| self.chosen(order, rows)).try_for_each(|chosen| chosen.map(drop))
    }

    fn find_order(&self, length: usize, found: &mut Found) -> Result<Option<SummationOrder>, CudaError> {
        let Found { families: all_families, room, .. } = found;
        let trial = Trial::new(&self.lanes.main, &self.weights.config, length, true, room)?;
        if !trial.is_attention_sequential()? {
            return Ok(None);
        }
        let mut order = SummationOrder::default();
        for linear in Linear::ALL {
            let shape = linear.shape(&self.weights.config, length);
            let weights = linear.weights(&self.weights.layers[0], &self.weights.config);
            self.lanes.main.linear(shape, trial.expected(weights))?;
            let Some(preferred) = trial.stream.preferred(shape.as_strided())? else { return Ok(None) };
            let families = &mut all_families[linear as usize];
            let summation = preferred.summation();
            let mut known = None;
            for (index, family) in families.iter().enumerate().filter(|(_, family)| family.summation == summation) {
                if known.is_none() && trial.is_equal(shape, weights, &family.kernels[0])? {
                    known = Some(index);
                }
            }
            if known.is_none() {
                if !trial.is_equal(shape, weights, &preferred)? {
                    return Ok(None);
                }
                let mut kernels = Vec::new();
                for kernel in preferred.relatives() {
                    if trial.is_equal(shape, weights, &kernel)? {
                        kernels.push(kernel);
                    }
                }
                families.push(Family { summation, kernels, is_shortlisted: false, chosen: BTreeMap::new() });
            }
            order[linear as usize] = known.unwrap_or(families.len() - 1) as u8;
        }
        Ok(Some(order))
    }

    /// Returns the fastest kernels of an order for this many vectors; none if a product has no such kernel.
    pub(super) fn chosen(&self, order: SummationOrder, rows: usize) -> Result<Option<Chosen>, CudaError> {
        let Found { families, room, .. } = &mut *self.orders.found();
        let mut kernels = Vec::new();
        for linear in Linear::ALL {
            let family = &mut families[linear as usize][usize::from(order[linear as usize])];
            match self.fastest(linear, family, rows, room)? {
                Some(kernel) => kernels.push(kernel),
                None => return Ok(None),
            }
        }
        Ok(kernels.try_into().ok().map(Chosen))
    }

    fn fastest(
        &self,
        linear: Linear,
        family: &mut Family,
        rows: usize,
        room: &mut Option<TrialRoom>,
    ) -> Result<Option<Algorithm>, CudaError> {
        let class = row_class(rows);
        let config = &self.weights.config;
        let stream = &self.lanes.main;
        // A kernel chosen for a nearby number of vectors need not exist for this number.
        if let Some(kernel) = family.chosen.get(&class)
            && stream.can(linear.shape(config, rows).as_strided(), kernel)?
        {
            return Ok(Some(*kernel));
        }
        let mut times = Vec::new();
        // With many parts, the whole class's partial sums may have no room where those of these rows have.
        for size in [class, rows] {
            let shape = linear.shape(config, size).as_strided();
            let trial = Trial::new(stream, config, size, false, room)?;
            let weights = linear.weights(&self.weights.layers[0], config);
            for kernel in &family.kernels {
                if stream.can(shape, kernel)? && stream.can(linear.shape(config, rows).as_strided(), kernel)? {
                    let lanes = if self.plan.parallel { linear.side_by_side() } else { 1 };
                    times.push((trial.time(shape, weights, kernel, &self.lanes, lanes)?, *kernel));
                }
            }
            if !times.is_empty() {
                break;
            }
        }
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, fastest)) = times.first().copied() else { return Ok(None) };
        if !family.is_shortlisted {
            // The first stays: it is the one that lengths are compared with.
            let first = family.kernels[0];
            let fast = times.iter().map(|(_, kernel)| *kernel).filter(|kernel| *kernel != first).take(SHORTLIST);
            family.kernels = std::iter::once(first).chain(fast).collect();
            family.is_shortlisted = true;
        }
        family.chosen.insert(class, fastest);
        Ok(Some(fastest))
    }
}

/// Returns the largest number of vectors that takes the same kernel as `rows`.
fn row_class(rows: usize) -> usize {
    let [.., last] = ROW_CLASSES;
    ROW_CLASSES.into_iter().find(|class| rows <= *class).unwrap_or_else(|| rows.next_multiple_of(last))
}

/// Vectors by formula, and two results to compare.
struct TrialRoom {
    vectors: Buffer<f32>,
    results: [Buffer<f32>; 2],
    differences: Buffer<u32>,
}

impl TrialRoom {
    fn new(stream: &Stream, len: usize) -> Result<Self, CudaError> {
        let room = || Buffer::zeroed(stream.device(), len, "products that are tried out");
        let differences = Buffer::zeroed(stream.device(), 1, "a count")?;
        Ok(Self { vectors: room()?, results: [room()?, room()?], differences })
    }
}

/// Test products of one size.
struct Trial<'a> {
    stream: &'a Stream,
    config: &'a Qwen3Config,
    length: usize,
    vectors: &'a Buffer<f32>,
    results: &'a [Buffer<f32>; 2],
    differences: &'a Buffer<u32>,
}

impl<'a> Trial<'a> {
    /// `length` vectors, and the attention of as many tokens where `with_attention`; makes `room` as large as that needs.
    fn new(
        stream: &'a Stream,
        config: &'a Qwen3Config,
        length: usize,
        with_attention: bool,
        room: &'a mut Option<TrialRoom>,
    ) -> Result<Self, CudaError> {
        let widest = config.intermediate_size.max(config.query_size()).max(config.hidden_size);
        let scores = if with_attention { config.heads * length * length } else { 0 };
        let len = scores.max(length * widest);
        let TrialRoom { vectors, results, differences } = match room.take() {
            Some(large) if large.vectors.len() >= len => room.insert(large),
            // The old one goes first.
            _ => room.insert(TrialRoom::new(stream, len.next_multiple_of(TRIAL_STEP))?),
        };
        let arguments = [vectors.address().into(), (len as u64).into(), 0x5eed_u64.into(), 0u32.into()];
        stream.launch("fill_synthetic", Grid::row(1024, 256), &arguments)?;
        Ok(Self { stream, config, length, vectors, results, differences })
    }

    /// Returns the buffer for cuBLAS's own answer.
    fn expected(&self, weights: DevicePtr) -> Operands {
        Operands { first: weights, second: self.vectors.address(), result: self.results[0].address() }
    }

    /// Returns whether this kernel exists for the product and its answer is the expected one.
    fn is_equal(&self, shape: MatrixShape, weights: DevicePtr, kernel: &Algorithm) -> Result<bool, CudaError> {
        if !self.stream.can(shape.as_strided(), kernel)? {
            return Ok(false);
        }
        let operands = Operands { result: self.results[1].address(), ..self.expected(weights) };
        self.stream.clear(&self.results[1])?;
        self.stream.product(shape.as_strided(), operands, kernel)?;
        Ok(self.differences(shape.rows * shape.outputs)? == 0)
    }

    /// Returns in how many of the first `count` values the two results differ.
    fn differences(&self, count: usize) -> Result<u32, CudaError> {
        self.stream.clear(self.differences)?;
        let [a, b] = [self.results[0].address(), self.results[1].address()];
        let arguments = [a.into(), b.into(), (count as u64).into(), self.differences.address().into()];
        self.stream.launch("proof_differences", Grid::row(1024, 256), &arguments)?;
        Ok(self.stream.download::<u32>(self.differences.address(), 1)?[0])
    }

    /// Returns milliseconds that the product takes, as often side by side as there are `lanes`.
    fn time(
        &self,
        shape: StridedShape,
        weights: DevicePtr,
        kernel: &Algorithm,
        all: &Lanes,
        lanes: usize,
    ) -> Result<f32, CudaError> {
        let run = || {
            all.fork()?;
            for (stream, result) in all.all().into_iter().zip(self.results).take(lanes) {
                let operands = Operands { result: result.address(), ..self.expected(weights) };
                stream.product(shape, operands, kernel)?;
            }
            all.join()
        };
        let [begin, end] = [Event::new(self.stream.device())?, Event::new(self.stream.device())?];
        run()?;
        // One behind the other without a pause, as a pass runs them.
        begin.record(self.stream)?;
        (0..TIMED).try_for_each(|_| run())?;
        end.record(self.stream)?;
        end.milliseconds_since(&begin)
    }

    /// Returns whether both products of attention are summed from the first element to the last, so that every row's
    /// bits are the same whatever rows are computed next to it.
    fn is_attention_sequential(&self) -> Result<bool, CudaError> {
        let (config, length, stream) = (self.config, self.length, self.stream);
        let [expected, found] = [self.results[0].address(), self.results[1].address()];
        let input = self.vectors.address();
        for (whole, count) in [
            (scores(config, length, length), config.heads * length * length),
            (mix(config, length, length), length * config.query_size()),
        ] {
            stream.strided(whole, Operands { first: input, second: input, result: expected })?;
            stream.clear(&self.results[1])?;
            let half = length / 2;
            for (from, rows) in [(0, half), (half, length - half)].into_iter().filter(|(_, rows)| *rows > 0) {
                let part = StridedShape { m_n_k: (whole.m_n_k.0, rows, whole.m_n_k.2), ..whole };
                let Some(kernel) = stream.preferred(whole)?.filter(|kernel| kernel.summation().parts == 1) else {
                    return Ok(false);
                };
                if !stream.can(part, &kernel)? {
                    return Ok(false);
                }
                let second = input.plus::<f32>(from * whole.second.0);
                let result = found.plus::<f32>(from * whole.result.0);
                stream.product(part, Operands { first: input, second, result }, &kernel)?;
            }
            if self.differences(count)? != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_rows_and_is_its_own() {
        for rows in 1..10_000 {
            let class = row_class(rows);
            assert!(class >= rows && row_class(class) == class, "{rows}");
        }
        assert_eq!([1, 256, 257, 3000, 4097].map(row_class), [256, 256, 512, 4096, 8192]);
    }
}
