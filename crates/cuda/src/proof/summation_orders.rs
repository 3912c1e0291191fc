//! In which order cuBLAS sums the products of a length, and which of its kernels do it fastest.
//!
//! For each length cuBLAS takes another kernel, and kernels differ in how many parts they split a sum into. That
//! number, and not the tile or the count of vectors, decides the bits (seen on H200 for every shape and length tried).
//! So lengths that are summed alike can be computed together, and by the kernel of that order that is fastest for this
//! many vectors. Nothing of this is assumed: for every length, the kernel's answer is compared bit for bit with
//! cuBLAS's own.

use std::collections::BTreeMap;

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
/// Numbers of vectors up to this multiple take the same kernel.
const ROWS_STEP: usize = 256;
/// How often a kernel is timed.
const TIMED: u32 = 2;

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

/// Everything found out so far about a network on a device.
#[derive(Default)]
pub(super) struct SummationOrders {
    lengths: BTreeMap<usize, Option<SummationOrder>>,
    families: [Vec<Family>; 5],
}

impl Prover {
    /// Returns the order in which cuBLAS sums for sequences of this length; none if its kernels cannot be named, so
    /// that such sequences must be proved one by one.
    ///
    /// # Errors
    /// If the device fails.
    pub fn order(&mut self, length: usize) -> Result<Option<SummationOrder>, CudaError> {
        if !self.plan.named {
            return Ok(None);
        }
        if let Some(order) = self.orders.lengths.get(&length) {
            return Ok(*order);
        }
        let order = self.find_order(length)?;
        self.orders.lengths.insert(length, order);
        Ok(order)
    }

    fn find_order(&mut self, length: usize) -> Result<Option<SummationOrder>, CudaError> {
        let trial = Trial::new(&self.lanes.main, &self.weights.config, length, true)?;
        if !trial.is_attention_sequential()? {
            return Ok(None);
        }
        let mut order = SummationOrder::default();
        for linear in Linear::ALL {
            let shape = linear.shape(&self.weights.config, length);
            let weights = linear.weights(&self.weights.layers[0], &self.weights.config);
            self.lanes.main.linear(shape, trial.expected(weights))?;
            let Some(preferred) = trial.stream.preferred(shape.as_strided())? else { return Ok(None) };
            if !trial.is_equal(shape, weights, &preferred)? {
                return Ok(None);
            }
            let families = &mut self.orders.families[linear as usize];
            let summation = preferred.summation();
            let mut known = None;
            for (index, family) in families.iter().enumerate().filter(|(_, family)| family.summation == summation) {
                if known.is_none() && trial.is_equal(shape, weights, &family.kernels[0])? {
                    known = Some(index);
                }
            }
            if known.is_none() {
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
    pub(super) fn chosen(&mut self, order: SummationOrder, rows: usize) -> Result<Option<Chosen>, CudaError> {
        let mut kernels = Vec::new();
        for linear in Linear::ALL {
            match self.fastest(linear, order[linear as usize].into(), rows)? {
                Some(kernel) => kernels.push(kernel),
                None => return Ok(None),
            }
        }
        Ok(kernels.try_into().ok().map(Chosen))
    }

    fn fastest(&mut self, linear: Linear, family: usize, rows: usize) -> Result<Option<Algorithm>, CudaError> {
        let step = rows.div_ceil(ROWS_STEP);
        let config = &self.weights.config;
        let stream = &self.lanes.main;
        let family = &mut self.orders.families[linear as usize][family];
        let shape = linear.shape(config, rows).as_strided();
        // A kernel chosen for a nearby number of vectors need not exist for this number.
        if let Some(kernel) = family.chosen.get(&step)
            && stream.can(shape, kernel)?
        {
            return Ok(Some(*kernel));
        }
        let trial = Trial::new(stream, config, rows, false)?;
        let weights = linear.weights(&self.weights.layers[0], config);
        let mut times = Vec::new();
        for kernel in &family.kernels {
            if stream.can(shape, kernel)? {
                let lanes = if self.plan.parallel { linear.side_by_side() } else { 1 };
                times.push((trial.time(shape, weights, kernel, &self.lanes, lanes)?, *kernel));
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
        family.chosen.insert(step, fastest);
        Ok(Some(fastest))
    }
}

/// Buffers for test products: vectors by formula, and two results to compare.
struct Trial<'a> {
    stream: &'a Stream,
    config: &'a Qwen3Config,
    length: usize,
    vectors: Buffer<f32>,
    results: [Buffer<f32>; 2],
    differences: Buffer<u32>,
}

impl<'a> Trial<'a> {
    /// Room for `length` vectors, and for the attention of as many tokens where `with_attention`.
    fn new(
        stream: &'a Stream,
        config: &'a Qwen3Config,
        length: usize,
        with_attention: bool,
    ) -> Result<Self, CudaError> {
        let room = |len: usize| Buffer::zeroed(stream.device(), len, "products that are tried out");
        let widest = config.intermediate_size.max(config.query_size()).max(config.hidden_size);
        let scores = if with_attention { config.heads * length * length } else { 0 };
        let len = scores.max(length * widest);
        let vectors = room(len)?;
        let arguments = [vectors.address().into(), (len as u64).into(), 0x5eed_u64.into(), 0u32.into()];
        stream.launch("fill_synthetic", Grid::row(1024, 256), &arguments)?;
        let differences = Buffer::zeroed(stream.device(), 1, "a count")?;
        Ok(Self { stream, config, length, vectors, results: [room(len)?, room(len)?], differences })
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
        self.stream.clear(&self.differences)?;
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
            for (stream, result) in all.all().into_iter().zip(&self.results).take(lanes) {
                let operands = Operands { result: result.address(), ..self.expected(weights) };
                stream.product(shape, operands, kernel)?;
            }
            all.join()
        };
        let [begin, end] = [Event::new(self.stream.device())?, Event::new(self.stream.device())?];
        run()?;
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
