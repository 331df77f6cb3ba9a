//! `conv`: a list of layers as in an nn.Sequential, on images `[B, C, H, W]`.
//!
//! Inside, a map of C channels is H·W positions (pixels) of C columns, channels last. State: the outputs of all activations and, if the
//! last layer is linear or a convolution, its output; a map's part is `[H, W, C]`.

use super::{dense, joined, Source};
use crate::error::Result;
use crate::job::{Layer, Window};
use crate::network::{Network, OwnedWeight};
use kpflow_core::model::functions::{Arithmetic, MaxOf, MultiplyAdd};
use kpflow_core::model::mixing::{Patches, Run, Windows};
use kpflow_core::model::{Form, Operand, Scan, VariableId, WeightId};
use kpflow_core::Scalar;

/// The most numbers that the patches of a map may have.
const MOST: usize = 1 << 27;

/// A map of the net.
#[derive(Clone, Copy)]
pub struct Map {
    /// Its variable: `height · width` positions of `channels` columns; after `flatten` one position.
    pub variable: VariableId,
    /// C.
    pub channels: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

/// For every output pixel and place in the window, the input pixel there, or that there is padding. Returns (H', W', pixels).
pub fn windows(map: Map, w: &Window) -> Option<(usize, usize, Vec<u32>)> {
    let out = |n: usize, i: usize| {
        let span = w.dilation[i].checked_mul(w.size[i].checked_sub(1)?)?.checked_add(1)?;
        let padded = n.checked_add(w.padding[i])?.checked_add(w.padding_end[i])?.checked_add(w.overhang[i])?;
        Some(padded.checked_sub(span)? / w.stride[i].max(1) + 1)
    };
    let (oh, ow) = (out(map.height, 0)?, out(map.width, 1)?);
    let numbers = [oh, ow, w.size[0], w.size[1], map.channels].iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    if numbers > MOST || map.height.checked_mul(map.width)? > MOST {
        return None;
    }
    let at = |o: usize, k: usize, i: usize, n: usize| {
        (o * w.stride[i] + k * w.dilation[i]).checked_sub(w.padding[i]).filter(|&x| x < n)
    };
    let mut pixels = Vec::with_capacity(oh * ow * w.size[0] * w.size[1]);
    for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
        for (ky, kx) in (0..w.size[0]).flat_map(|y| (0..w.size[1]).map(move |x| (y, x))) {
            let pixel = at(y, ky, 0, map.height).zip(at(x, kx, 1, map.width));
            pixels.push(pixel.map_or(Windows::PADDING, |(y, x)| (y * map.width + x) as u32));
        }
    }
    Some((oh, ow, pixels))
}

/// A pixel that windows name, if it is none of the padding.
fn pixel(pixel: &u32) -> Option<usize> {
    Some(*pixel as usize).filter(|_| *pixel != Windows::PADDING)
}

/// What a convolution reads at every pixel of its output: columns `[group][place][channel]`.
pub fn patches<T: Scalar>(network: &mut Network<T>, map: Map, window: &Window, groups: usize) -> Option<Map> {
    let (height, width, pixels) = windows(map, window)?;
    let places = window.size[0] * window.size[1];
    let plain = places == 1 && pixels.iter().enumerate().all(|(i, p)| pixel(p) == Some(i));
    let variable = match plain && pixels.len() == map.height * map.width {
        true => map.variable,
        false => network.mixing(Patches { rows: pixels, places, groups }, &[network.read(map.variable)])?,
    };
    Some(Map { variable, height, width, ..map })
}

/// Whether each channel has a weight of its own, which writes one channel: a gain for every place.
pub fn is_depthwise(channels: usize, groups: usize, n_out: usize) -> bool {
    groups > 1 && groups == channels && n_out == channels
}

/// A depthwise convolution, its weight `[places, channels]`, on patches of one group.
pub fn depthwise<T: Scalar>(network: &mut Network<T>, patches: Map, weight: WeightId) -> Map {
    let input = network.read(patches.variable);
    Map { variable: network.site(Form::Gain, weight, input), ..patches }
}

/// The sites of a convolution on its patches, one weight a group, and their outputs side by side.
pub fn convolved<T: Scalar>(network: &mut Network<T>, patches: Map, weights: &[WeightId]) -> Map {
    let mut outputs = Vec::new();
    for (g, &weight) in weights.iter().enumerate() {
        let input = network.piece(patches.variable, g, network.weights()[weight].n_in);
        let y = network.dense(weight, input);
        if weights.len() > 1 {
            // Parts have names of their own: the name of the layer means all of them.
            network.name(y, format!("{}.group_{g}", network.name_of(y)));
        }
        outputs.push(network.read(y));
    }
    let variable = match outputs[..] {
        [one] => one.variable,
        _ => network.concat(&outputs),
    };
    Map { variable, channels: network.size(variable).1, ..patches }
}

/// The weight of a depthwise convolution, from `[C, 1, kh, kw]` to rows of channels, one a place.
fn by_place<T: Scalar>(weight: OwnedWeight<T>) -> OwnedWeight<T> {
    let (channels, places) = (weight.n_out, weight.n_in);
    let matrix: Vec<T> = (0..channels * places).map(|i| weight.matrix[i % channels * places + i / channels]).collect();
    OwnedWeight { matrix: matrix.into(), ..weight }
}

/// The weights of the groups of a convolution, from `[C_out, C_in / groups, kh, kw]` to the columns of a patch.
fn grouped<T: Scalar>(network: &mut Network<T>, weight: OwnedWeight<T>, places: usize, groups: usize) -> Vec<WeightId> {
    let (out, columns) = (weight.n_out / groups, weight.n_in);
    let per = columns / places;
    let part = |g: usize| {
        // [out][channel][place] to [out][place][channel].
        let source = &weight.matrix[g * out * columns..(g + 1) * out * columns];
        let reorder = |i: usize| source[(i / columns * per + i % per) * places + i / per % places];
        let bias = weight.bias.as_ref().map(|b| b[g * out..(g + 1) * out].to_vec());
        let matrix = (0..out * columns).map(reorder).collect();
        OwnedWeight::new(weight.name.clone(), matrix, out, columns).with_bias(weight.bias_name.clone(), bias)
    };
    (0..groups).map(|g| network.weight(part(g))).collect()
}

/// The largest of every window; a place in the padding counts as another one of the same window.
pub fn max_pool<T: Scalar>(network: &mut Network<T>, map: Map, window: &Window) -> Option<Map> {
    let (oh, ow, pixels) = windows(map, window)?;
    let (places, c) = (window.size[0] * window.size[1], map.channels);
    let mut runs = Vec::new();
    for (p, window) in pixels.chunks_exact(places).enumerate() {
        let any = window.iter().find_map(pixel)?;
        for (k, place) in window.iter().enumerate() {
            let from = (pixel(place).unwrap_or(any), 0);
            runs.push(Run { input: 0, from, to: (p, k * c), len: c, scale: T::one() });
        }
    }
    let input = network.read(map.variable);
    let all = network.sparse(runs, &[input], (oh * ow, places * c));
    let parts: Vec<Operand> = (0..places).map(|k| network.piece(all, k, c)).collect();
    let variable = largest(network, parts);
    Some(Map { variable, channels: c, height: oh, width: ow })
}

/// The largest of several operands, unit by unit; of equal ones the first.
pub fn largest<T: Scalar>(network: &mut Network<T>, mut parts: Vec<Operand>) -> VariableId {
    while parts.len() > 1 {
        let next = |network: &mut Network<T>, part: &[Operand]| match *part {
            [a] => a,
            [a, b] => {
                let y = network.cluster(Arithmetic::Max, [a, b]);
                network.read(y)
            }
            [a, b, c] => {
                let y = network.cluster(MaxOf, [a, b, c]);
                network.read(y)
            }
            _ => {
                let y = network.cluster(MaxOf, [part[0], part[1], part[2], part[3]]);
                network.read(y)
            }
        };
        parts = parts.chunks(4).map(|part| next(network, part)).collect();
    }
    parts[0].variable
}

/// The mean of every window; the padding counts as zeros if `count_padding`, else not at all.
pub fn mean_pool<T: Scalar>(network: &mut Network<T>, map: Map, w: &Window, count_padding: bool) -> Option<Map> {
    let (oh, ow, pixels) = windows(map, w)?;
    let (places, c) = (w.size[0] * w.size[1], map.channels);
    let mut runs = Vec::new();
    for (p, window) in pixels.chunks_exact(places).enumerate() {
        // Of the places of a window along an axis, those within the map and its padding.
        let within = |o: usize, i: usize, n: usize| {
            let place = |k: &usize| o * w.stride[i] + k * w.dilation[i] < w.padding[i] + n + w.padding_end[i];
            (0..w.size[i]).filter(place).count()
        };
        let count = match count_padding {
            true => within(p / ow, 0, map.height) * within(p % ow, 1, map.width),
            false => window.iter().filter_map(pixel).count(),
        };
        for pixel in window.iter().filter_map(pixel) {
            let scale = T::of(1.0 / count as f64);
            runs.push(Run { input: 0, from: (pixel, 0), to: (p, 0), len: c, scale });
        }
    }
    let input = network.read(map.variable);
    let variable = network.sparse(runs, &[input], (oh * ow, c));
    Some(Map { variable, channels: c, height: oh, width: ow })
}

/// BatchNorm in inference, without its gain: the fixed (x − μ)/√(σ² + eps).
pub fn batch_norm<T: Scalar>(
    network: &mut Network<T>,
    variable: VariableId,
    mean: &[T],
    variance: &[T],
    eps: f64,
) -> VariableId {
    let (positions, channels) = network.size(variable);
    let scale: Vec<T> = variance.iter().map(|v| (*v + T::of(eps)).sqrt().recip()).collect();
    let shift: Vec<T> = mean.iter().zip(&scale).map(|(m, s)| -*m * *s).collect();
    let constants = [scale, shift].map(|row| network.constant(row.repeat(positions), positions, channels));
    let reads = [variable, constants[0], constants[1]].map(|v| network.read(v));
    network.cluster(MultiplyAdd, reads)
}

/// PyTorch's order `[C, H, W]` in one position from pixels of channels, or back.
pub fn flatten<T: Scalar>(network: &mut Network<T>, map: Map, back: bool) -> VariableId {
    let (pixels, channels) = (map.height * map.width, map.channels);
    let run = |i: usize| {
        let (pixel, channel) = (i % pixels, i / pixels);
        let (flat, row) = ((0, i), (pixel, channel));
        let (from, to) = if back { (flat, row) } else { (row, flat) };
        Run { input: 0, from, to, len: 1, scale: T::one() }
    };
    let input = network.read(map.variable);
    let size = if back { (pixels, channels) } else { (1, pixels * channels) };
    network.sparse((0..pixels * channels).map(run).collect(), &[input], size)
}

/// Builds the network.
pub fn build<T: Scalar>(source: &Source<'_>) -> Result<Network<T>> {
    let [channels, height, width] = source.input_shape("[B, C, H, W]")?;
    let mut network = Network::default();
    network.segment(Scan::Parallel);
    let raw = network.input(0, 1, channels * height * width);
    let mut map = Map { variable: raw, channels, height, width };
    map.variable = flatten(&mut network, map, true);
    let (mut state, mut maps) = (Vec::new(), Vec::new());
    for (i, layer) in source.spec.sequence.iter().enumerate() {
        let last = i + 1 == source.spec.sequence.len();
        let here = |what: String| source.wrong(format!("layer {i} ({}): {what}", layer.word()));
        let shape = |m: Map| joined(&[m.channels, m.height, m.width]);
        let small = |m: Map| here(format!("its window is larger than the map [{}]", shape(m)));
        match layer {
            Layer::Conv { name, window, groups } => {
                let tensor = format!("{name}.weight");
                let (n_out, groups) = (source.axis(&tensor, 0)?, *groups);
                if channels_wrong(map.channels, groups, n_out) {
                    return Err(here(format!("{groups} groups do not divide {} and {n_out} channels", map.channels)));
                }
                let mut window = *window;
                window.size = [source.axis(&tensor, 2)?, source.axis(&tensor, 3)?];
                let per = map.channels / groups;
                let matrix = source.tensor::<T>(&tensor, &[n_out, per, window.size[0], window.size[1]])?;
                let weight = OwnedWeight::new(matrix.name, matrix.data, n_out, per * window.size[0] * window.size[1]);
                let weight = source.with_bias(weight, &format!("{name}.bias"))?;
                let alone = is_depthwise(map.channels, groups, n_out);
                let cut = if alone { 1 } else { groups };
                let patches = patches(&mut network, map, &window, cut).ok_or_else(|| small(map))?;
                map = if alone {
                    let weight = network.weight(by_place(weight));
                    depthwise(&mut network, patches, weight)
                } else {
                    let weights = grouped(&mut network, weight, window.size[0] * window.size[1], groups);
                    convolved(&mut network, patches, &weights)
                };
            }
            Layer::MaxPool { window } => map = max_pool(&mut network, map, window).ok_or_else(|| small(map))?,
            Layer::AvgPool { window } => map = mean_pool(&mut network, map, window, true).ok_or_else(|| small(map))?,
            Layer::GlobalAvgPool => {
                let window = Window { size: [map.height, map.width], ..Window::default() };
                map = mean_pool(&mut network, map, &window, true).ok_or_else(|| small(map))?;
            }
            Layer::BatchNorm { name, eps } => {
                let c = map.channels;
                let mean = source.tensor::<T>(&format!("{name}.running_mean"), &[c])?.data;
                let variance = source.tensor::<T>(&format!("{name}.running_var"), &[c])?.data;
                map.variable = batch_norm(&mut network, map.variable, &mean, &variance, *eps);
                if source.checkpoint.shape(&format!("{name}.weight")).is_some() {
                    let gain = network.weight(source.gain(name, c)?);
                    let input = network.read(map.variable);
                    map.variable = network.site(Form::Gain, gain, input);
                }
            }
            Layer::Flatten => {
                let variable = flatten(&mut network, map, false);
                let channels = map.channels * map.height * map.width;
                map = Map { variable, channels, height: 1, width: 1 };
            }
            Layer::Linear { name } => {
                if map.height * map.width != 1 {
                    return Err(here(format!("reads a row; before it is a map [{}]: flatten it", shape(map))));
                }
                let n_out = source.axis(&format!("{name}.weight"), 0)?;
                let weight = source.linear(name, n_out, map.channels)?;
                let input = network.read(map.variable);
                map = Map { variable: dense(&mut network, weight, input), channels: n_out, ..map };
            }
            Layer::Activation(phi) => {
                let input = network.read(map.variable);
                map.variable = network.cluster(*phi, [input]);
                state.push(map.variable);
            }
            Layer::Add { from } => {
                let Some(other) = maps.get(*from).copied() else {
                    return Err(here(format!("from = {from} is not a layer before it")));
                };
                let other: Map = other;
                if shape(other) != shape(map) {
                    return Err(here(format!(
                        "adds maps [{}] and [{}]; they have to be alike",
                        shape(other),
                        shape(map)
                    )));
                }
                let reads = [network.read(map.variable), network.read(other.variable)];
                map.variable = network.cluster(Arithmetic::Add, reads);
            }
        }
        if network.name_of(map.variable).is_empty()
            || matches!(layer, Layer::Conv { .. } | Layer::Linear { .. } | Layer::BatchNorm { .. })
        {
            network.name(map.variable, i.to_string());
        }
        maps.push(map);
        if last && !matches!(layer, Layer::Activation(_)) {
            state.push(map.variable);
        }
    }
    network.output(network.read(map.variable));
    network.default_state(state, false);
    Ok(network)
}

fn channels_wrong(channels: usize, groups: usize, n_out: usize) -> bool {
    groups == 0 || channels % groups != 0 || n_out % groups != 0
}
