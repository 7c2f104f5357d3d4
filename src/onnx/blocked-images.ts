/**
 * Convolutions by ONNX Runtime's direct kernels (`com.microsoft.nchwc`), which keep a block of 8 or 16 channels of a pixel together:
 * [b, c / n, h, w, n] in the memory of [b, c, h, w]. The runtime makes use of them by itself where weights are in the model; here they are
 * for weights that are given at each run, as in training, and are 1.3 to 1.6 times as fast as its plain convolutions.
 *
 * An image stays in blocks through operations that work element by element, and is put back in order where anything else reads it.
 */

import type { AnyNode, Node, Value } from '../graph/graph.ts';
import type { OpName } from '../graph/operations.ts';
import type { Emitter } from './emitter.ts';
import { kernelOf } from './form.ts';
import { operationForms } from './forms.ts';
import type { Lower, Lowering } from './lowering.ts';
import { nchwcDomain as domain } from './onnx-builder.ts';

const elementwise: ReadonlySet<OpName> = new Set([
  'silu',
  'sigmoid',
  'relu',
  'tanh',
  'leakyRelu',
  'neg',
  'add',
  'sub',
  'mul',
]);

export const blockedImages: Lowering = (e) => {
  const { imageBlock: block } = e.options;
  if (block === undefined) return undefined;
  const form = operationForms(e);
  return (node, output) => {
    // A result that is an output of the graph has its name already.
    const isNamed = e.values.isOrdered(node.output);
    const lower: Lower = (inner, name) => form?.(inner, name) ?? false;
    const emitted = elementwise.has(node.op) ? inPlaceOf(e, node, block, lower) : convolutionOf(e, node, block);
    if (emitted && isNamed && e.values.isBlocked(node.output)) e.values.order(node.output, output());
    return emitted;
  };
};

function convolutionOf(e: Emitter, node: AnyNode, block: number): boolean {
  if (node.op === 'conv2d') {
    const { stride, pads, groups } = node.attributes;
    return groups === 1 && convolution(e, node, block, stride, pads, false);
  }
  if (node.op !== 'convTranspose2d' || !node.inputs[1]) return false;
  // With stride 1 it is a convolution with the kernel turned by 180° and its two channel axes swapped.
  const { stride, pads, groups } = node.attributes;
  const [kh, kw] = kernelOf(node.inputs[1]);
  const around = [kh - 1 - pads[0], kw - 1 - pads[1], kh - 1 - pads[2], kw - 1 - pads[3]];
  return (
    stride === 1 &&
    groups === 1 &&
    around.every((size) => size >= 0) &&
    convolution(e, node, block, stride, around, true)
  );
}

/** An operation on images that are in blocks, element by element, if that needs no more conversions than the alternative. */
function inPlaceOf(e: Emitter, node: AnyNode, block: number, lower: Lower): boolean {
  const images = node.inputs.filter(({ shape }) => shape.length > 0);
  const same = images.every(
    ({ shape, dtype }) => dtype === 'float32' && shape.length === 4 && shape.join() === node.output.shape.join(),
  );
  const toBlocks = images.filter((value) => !e.values.isBlocked(value));
  const toOrder = images.filter((value) => !e.values.isOrdered(value));
  if (!same || toOrder.length === 0 || toBlocks.length >= toOrder.length) return false;
  for (const value of toBlocks) if (Number(value.shape[1]) % block !== 0) return false;
  const output = e.values.blockedName(node.output);
  e.values.inBlocks(images, () => lower(node, () => output));
  return true;
}

function convolution(
  e: Emitter,
  node: Node<'conv2d'> | Node<'convTranspose2d'>,
  block: number,
  stride: number,
  pads: readonly number[],
  turned: boolean,
): boolean {
  const [x, weight, bias] = node.inputs as readonly [Value, Value, Value | undefined];
  const [from, to] = [Number(x.shape[1]), Number(node.output.shape[1])];
  // Images with fewer channels than a block are read without blocks.
  const few = from < block;
  if (!e.values.isGiven(weight) || (!few && from % block !== 0) || (to % block !== 0 && to > block)) return false;
  const missing = to % block === 0 ? 0 : block - to;
  const filter = filterOf(e, weight, { block, from, to: to + missing, missing, few, turned });
  const inputs = [few ? e.values.name(x) : e.values.blocked(x), filter];
  if (bias)
    inputs.push(
      missing === 0
        ? e.values.name(bias)
        : e.onnx.node('Pad', [e.values.name(bias), e.onnx.integers([0, missing]), e.onnx.scalar(0)]),
    );
  const attributes = { kernel_shape: kernelOf(weight), strides: [stride, stride], pads };
  if (missing > 0)
    e.onnx.node(
      'ReorderOutput',
      [e.onnx.node('Conv', inputs, attributes, { domain })],
      { channels: to },
      { domain, output: e.values.name(node.output) },
    );
  else e.onnx.node('Conv', inputs, attributes, { domain, output: e.values.blockedName(node.output) });
  return true;
}

/**
 * A filter [out, in, kh, kw] in the order [out / n, in / n, kh, kw, n (in), n (out)] of the kernels, or [out / n, in, kh, kw, n] for few
 * channels. The runtime's reordering of images, and copies of whole blocks, are several times as fast as its general transposition.
 */
function filterOf(
  e: Emitter,
  weight: Value,
  {
    block,
    from,
    to,
    missing,
    few,
    turned,
  }: {
    readonly block: number;
    readonly from: number;
    readonly to: number;
    readonly missing: number;
    readonly few: boolean;
    readonly turned: boolean;
  },
): string {
  const [kh, kw] = weight.shape.slice(2).map(Number) as [number, number];
  const size = kh * kw;
  let name = e.values.name(weight);
  if (missing > 0)
    name = e.onnx.node('Pad', [
      name,
      e.onnx.integers([0, 0, 0, 0, ...(turned ? [0, missing] : [missing, 0]), 0, 0]),
      e.onnx.scalar(0),
    ]);
  const reshaped = (value: string, shape: readonly number[]): string =>
    e.onnx.node('Reshape', [value, e.onnx.integers(shape)]);
  const inBlocks = (value: string): string => e.onnx.node('ReorderInput', [value], {}, { domain });
  const filter = [to, from, kh, kw];
  if (turned) {
    // [from, to, kh, kw]: blocks of `to`, turned by 180°.
    const blocks = reshaped(
      inBlocks(name),
      few ? [from, to / block, size, block] : [from / block, block, to / block, size, block],
    );
    const ordered = e.onnx.node('Transpose', [blocks], { perm: few ? [1, 0, 2, 3] : [2, 0, 3, 1, 4] });
    const backwards = Array.from({ length: size }, (_, i) => size - 1 - i);
    return reshaped(
      size === 1 ? ordered : e.onnx.node('Gather', [ordered, e.onnx.integers(backwards)], { axis: 2 }),
      filter,
    );
  }
  const blocks = inBlocks(reshaped(name, [to / block, block, 1, from * size])); // [to / n, from · kh · kw, n]
  if (few) return reshaped(blocks, filter);
  return reshaped(
    e.onnx.node('Transpose', [reshaped(blocks, [to / block, from / block, block, size, block])], {
      perm: [0, 1, 3, 2, 4],
    }),
    filter,
  );
}
