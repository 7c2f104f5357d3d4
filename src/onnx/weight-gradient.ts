/**
 * The gradient of a convolution to its weight as matrix products, the form that was measured fastest on the CPU.
 *
 * For element (i, j) of the kernel it is Σ over pixels of the output's gradient times the image moved by i rows and j columns. The image is
 * moved by the rows and the gradient, the other way, by the columns: kh + kw copies serve kh · kw products [out, pixels] · [in, pixels]ᵀ.
 */

import { StableDiffusionError } from '../errors.ts';
import { multiplyDims } from '../graph/dim.ts';
import type { Value } from '../graph/graph.ts';
import type { Attributes } from '../graph/operations.ts';
import type { Emitter } from './emitter.ts';
import { microsoftDomain, nchwcDomain, type NodeOptions } from './onnx-builder.ts';
import { type Element, type MovedCopies, movedInMemory, movedInPlane } from './moved-copies.ts';

/** With at least so many pixels an image, each image of a batch has a product of its own; smaller ones are laid side by side. */
const largeImage = 1024;

/** Rows that a matrix should have: with fewer, a product spends its time on rearranging the other matrix. */
const enoughRows = 96;

/** Gradient [out, in, kh, kw] from x [b, in, h, w] and the output's gradient dy [b, out, h', w']. */
export function weightGradient(
  e: Emitter,
  x: Value,
  dy: Value,
  attributes: Attributes['conv2dWeightGradient'],
  options: NodeOptions,
): string {
  if (attributes.groups !== 1)
    throw new StableDiffusionError(
      'invalid-argument',
      'The gradient of a grouped convolution must be computed group by group.',
    );
  const {
    kernel: [kh, kw],
    stride,
  } = attributes;
  const [inner, outer] = [Number(x.shape[1]), Number(dy.shape[1])];
  const pixels = multiplyDims(dy.shape[2] ?? 1, dy.shape[3] ?? 1);
  const large = typeof pixels === 'number' && pixels >= largeImage;
  const inMemory = large && stride === 1 && typeof x.shape[2] === 'number';
  const copies: MovedCopies = inMemory
    ? movedInMemory(e, x, dy, attributes)
    : movedInPlane(e, x, dy, attributes, large);
  const { pairs, gradientCopies, imageCopies } = productsOf(copies, attributes, [outer, inner], inMemory);

  // For narrow matrices, the one with more rows comes first, because the runtime rearranges the second.
  const [gradientRows, imageRows] = [outer * gradientCopies, inner * imageCopies];
  const imageFirst = gradientRows < imageRows && gradientRows < enoughRows;
  const made = pairs.map(([gradient, image]) =>
    e.onnx.node(
      'FusedMatMul',
      imageFirst ? [image, gradient] : [gradient, image],
      { transB: 1 },
      { domain: microsoftDomain },
    ),
  );
  const products = made.length === 1 ? (made[0] ?? '') : e.onnx.node('Concat', made, { axis: 1 });
  const all = large ? e.onnx.node('ReduceSum', [products, e.onnx.integers([0])], { keepdims: 0 }) : products;
  // [products, rows of the first, rows of the second]; in every matrix the copies for several elements lie within a channel.
  const ofGradient: readonly Axis[] = [
    { length: outer, what: 'out' },
    { length: gradientCopies, what: 'element' },
  ];
  const ofImage: readonly Axis[] = [
    { length: inner, what: 'in' },
    { length: imageCopies, what: 'element' },
  ];
  const axes: readonly Axis[] = [
    { length: pairs.length, what: 'element' },
    ...(imageFirst ? [...ofImage, ...ofGradient] : [...ofGradient, ...ofImage]),
  ];
  const { imageBlock: block } = e.options;
  if (kh * kw > 1 && imageCopies === 1 && !imageFirst && block !== undefined && inner % block === 0) {
    return elementsLast(e, all, { block, copies: [pairs.length, gradientCopies] }, [outer, inner, kh, kw], options);
  }
  const long = axes.filter(({ length, what }) => what !== 'element' || length > 1);
  const perm = ['out', 'in', 'element'].flatMap((wanted) =>
    long.flatMap(({ what }, axis) => (what === wanted ? [axis] : [])),
  );
  const ordered = e.onnx.node(
    'Transpose',
    [e.onnx.node('Reshape', [all, e.onnx.integers(long.map(({ length }) => length))])],
    {
      perm,
    },
  );
  return e.onnx.node('Reshape', [ordered, e.onnx.integers([outer, inner, kh, kw])], {}, options);
}

/** Operands of the products, and how many elements of the kernel each has the gradient's and the image's copies for. */
interface Products {
  readonly pairs: readonly (readonly [gradient: string, image: string])[];
  readonly gradientCopies: number;
  readonly imageCopies: number;
}

function productsOf(
  copies: MovedCopies,
  { kernel: [kh, kw], stride }: Attributes['conv2dWeightGradient'],
  [outer, inner]: readonly [outer: number, inner: number],
  inMemory: boolean,
): Products {
  const [rows, columns] = [[...Array(kh).keys()], [...Array(kw).keys()]];
  const elements = rows.flatMap((i) => columns.map((j): Element => [i, j]));
  const origin: Element = [0, 0];
  const one = { gradientCopies: 1, imageCopies: 1 };
  if (inner * kh * kw <= enoughRows) {
    const pairs = [[copies.gradient([origin], 'nothing'), copies.image(elements, 'both')]] as const;
    return { ...one, pairs, imageCopies: kh * kw };
  }
  if (stride > 1) {
    const pairs = elements.map(
      (element) => [copies.gradient([element], 'both'), copies.image([element], 'nothing')] as const,
    );
    return { ...one, pairs };
  }
  if (outer * kh * kw <= enoughRows) {
    const pairs = [[copies.gradient(elements, 'both'), copies.image([origin], 'nothing')]] as const;
    return { ...one, pairs, gradientCopies: kh * kw };
  }
  if (inMemory || outer * kw <= enoughRows) {
    const along = columns.map((j): Element => [0, j]);
    const pairs = rows.map((i) => [copies.gradient(along, 'columns'), copies.image([[i, 0]], 'rows')] as const);
    return { ...one, pairs, gradientCopies: kw };
  }
  const pairs = elements.map(
    ([i, j]) => [copies.gradient([[0, j]], 'columns'), copies.image([[i, 0]], 'rows')] as const,
  );
  return { ...one, pairs };
}

interface Axis {
  readonly length: number;
  readonly what: 'element' | 'in' | 'out';
}

/**
 * [products, out, copies, in] → [out, in, kh, kw] as images are put in order from blocks of channels, which takes half the time of the
 * runtime's general transposition.
 */
function elementsLast(
  e: Emitter,
  elements: string,
  { block, copies: [products, copies] }: { readonly block: number; readonly copies: readonly [number, number] },
  shape: readonly [outer: number, inner: number, kh: number, kw: number],
  options: NodeOptions,
): string {
  const [outer, inner] = shape;
  const blocks = e.onnx.node(
    'Transpose',
    [e.onnx.node('Reshape', [elements, e.onnx.integers([products, outer, copies, inner / block, block])])],
    { perm: [1, 3, 0, 2, 4] },
  );
  return e.onnx.node(
    'ReorderOutput',
    [e.onnx.node('Reshape', [blocks, e.onnx.integers(shape)])],
    { channels: inner },
    { ...options, domain: nchwcDomain },
  );
}
