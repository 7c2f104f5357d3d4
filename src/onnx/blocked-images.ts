/**
 * Convolutions by ONNX Runtime's direct kernels (`com.microsoft.nchwc`), which keep a block of 8 or 16 channels of a pixel together:
 * [b, c / n, h, w, n] in the memory of [b, c, h, w]. The runtime makes use of them by itself where weights are in the model; here they are
 * for weights that are given at each run, as in training, and are 1.3 to 1.6 times as fast as its plain convolutions.
 *
 * An image stays in blocks through operations that work element by element, and is put back in order where anything else reads it.
 */

import type { AnyNode, Node, Value } from '../graph/graph.ts';
import type { OpName } from '../graph/operations.ts';
import { type Emitter, nchwcDomain as domain } from './emitter.ts';

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

/** Emits a node whose result is an image in blocks, where that is possible and of use. */
export function emitBlocked(e: Emitter, node: AnyNode, emitElementwise: (output: string) => void): boolean {
  const { imageBlock: block } = e;
  if (block === undefined) return false;
  switch (node.op) {
    case 'conv2d': {
      const { stride, pads, groups } = node.attributes;
      return groups === 1 && convolution(e, node, block, stride, pads, false);
    }
    case 'convTranspose2d': {
      // Of stride 1, it is a convolution with the kernel turned by 180° and its two channel axes swapped.
      const { stride, pads, groups } = node.attributes;
      const [kh, kw] = kernelOf(node);
      const around = [kh - 1 - pads[0], kw - 1 - pads[1], kh - 1 - pads[2], kw - 1 - pads[3]];
      return (
        stride === 1 &&
        groups === 1 &&
        around.every((size) => size >= 0) &&
        convolution(e, node, block, stride, around, true)
      );
    }
    default: {
      if (!elementwise.has(node.op)) return false;
      const images = node.inputs.filter(({ shape }) => shape.length > 0);
      const same = images.every(
        ({ shape, dtype }) => dtype === 'float32' && shape.length === 4 && shape.join() === node.output.shape.join(),
      );
      // As many conversions as the other way round, at most.
      const [toBlocks, toOrder] = [
        images.filter((value) => !e.isBlocked(value)),
        images.filter((value) => !e.isOrdered(value)),
      ];
      if (!same || toOrder.length === 0 || toBlocks.length >= toOrder.length) return false;
      for (const value of toBlocks) if (Number(value.shape[1]) % block !== 0) return false;
      const output = e.blockedName(node.output);
      e.inBlocks(images, () => emitElementwise(output));
      return true;
    }
  }
}

function kernelOf(node: AnyNode): [number, number] {
  const [, , kh, kw] = node.inputs[1]?.shape ?? [];
  return [Number(kh), Number(kw)];
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
  // Fewer channels than a block are read as they are.
  const few = from < block;
  if (!e.isGiven(weight) || (!few && from % block !== 0) || (to % block !== 0 && to > block)) return false;
  const missing = to % block === 0 ? 0 : block - to;
  const filter = filterOf(e, weight, { block, from, to: to + missing, missing, few, turned });
  const inputs = [few ? e.name(x) : e.blocked(x), filter];
  if (bias)
    inputs.push(missing === 0 ? e.name(bias) : e.node('Pad', [e.name(bias), e.integers([0, missing]), e.scalar(0)]));
  const attributes = { kernel_shape: kernelOf(node), strides: [stride, stride], pads };
  if (missing > 0)
    e.node(
      'ReorderOutput',
      [e.node('Conv', inputs, attributes, { domain })],
      { channels: to },
      { domain, output: e.name(node.output) },
    );
  else e.node('Conv', inputs, attributes, { domain, output: e.blockedName(node.output) });
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
  let name = e.name(weight);
  if (missing > 0)
    name = e.node('Pad', [
      name,
      e.integers([0, 0, 0, 0, ...(turned ? [0, missing] : [missing, 0]), 0, 0]),
      e.scalar(0),
    ]);
  const reshaped = (value: string, shape: readonly number[]): string => e.node('Reshape', [value, e.integers(shape)]);
  const inBlocks = (value: string): string => e.node('ReorderInput', [value], {}, { domain });
  const filter = [to, from, kh, kw];
  if (turned) {
    // [from, to, kh, kw]: blocks of `to`, turned by 180°.
    const blocks = reshaped(
      inBlocks(name),
      few ? [from, to / block, size, block] : [from / block, block, to / block, size, block],
    );
    const ordered = e.node('Transpose', [blocks], { perm: few ? [1, 0, 2, 3] : [2, 0, 3, 1, 4] });
    const backwards = Array.from({ length: size }, (_, i) => size - 1 - i);
    return reshaped(size === 1 ? ordered : e.node('Gather', [ordered, e.integers(backwards)], { axis: 2 }), filter);
  }
  const blocks = inBlocks(reshaped(name, [to / block, block, 1, from * size])); // [to / n, from · kh · kw, n]
  if (few) return reshaped(blocks, filter);
  return reshaped(
    e.node('Transpose', [reshaped(blocks, [to / block, from / block, block, size, block])], { perm: [0, 1, 3, 2, 4] }),
    filter,
  );
}
