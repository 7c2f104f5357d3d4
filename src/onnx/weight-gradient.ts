/**
 * The gradient of a convolution to its weight as matrix products, the form that was measured fastest on the CPU.
 *
 * For element (i, j) of the kernel it is Σ over pixels of the output's gradient times the image moved by i rows and j columns. The image is
 * moved by the rows and the gradient, the other way, by the columns: kh + kw copies serve kh · kw products [out, pixels] · [in, pixels]ᵀ.
 */

import { StableDiffusionError } from '../errors.ts';
import { addDims, type Dim, multiplyDims, subtractDims } from '../graph/dim.ts';
import type { Value } from '../graph/graph.ts';
import type { Attributes } from '../graph/operations.ts';
import { type Emitter, nchwcDomain, type NodeOptions } from './emitter.ts';

/** With at least so many pixels an image, each image of a batch has a product of its own; smaller ones are laid side by side. */
const largeImage = 1024;

/** Rows that a matrix should have: with fewer, a product spends its time on rearranging the other matrix. */
const enoughRows = 96;

/** Gradient [out, in, kh, kw] from x [b, in, h, w] and the output's gradient dy [b, out, h', w']. */
export function weightGradient(e: Emitter, x: Value, dy: Value, attributes: Attributes['conv2dWeightGradient'], options: NodeOptions): string {
  if (attributes.groups !== 1) throw new StableDiffusionError('invalid-argument', 'The gradient of a grouped convolution is made from its groups.');
  const { kernel: [kh, kw], stride } = attributes;
  const b = x.shape[0] ?? 1;
  const [inner, outer] = [Number(x.shape[1]), Number(dy.shape[1])];
  const size: Area = [dy.shape[2] ?? 1, dy.shape[3] ?? 1];
  const large = size.every((length) => typeof length === 'number') && Number(size[0]) * Number(size[1]) >= largeImage;
  // Large images: [b, channels, pixels]; else [1, channels, b · pixels].
  const arranged = (value: Value): string => (large ? e.name(value) : e.node('Transpose', [e.name(value)], { perm: [1, 0, 2, 3] }));
  const flat = (value: string, channels: number, [rows, columns]: Area): string => {
    const pixels = multiplyDims(rows, columns);
    return e.node('Reshape', [value, e.shape(large ? [b, channels, pixels] : [1, channels, multiplyDims(b, pixels)])]);
  };
  const images = splitImage(e, arranged(x), large ? inner : b, [x.shape[2] ?? 1, x.shape[3] ?? 1], size, attributes);
  const gradient = arranged(dy);
  const [elementRows, elementColumns] = [[...Array(kh).keys()], [...Array(kw).keys()]];
  const elements = elementRows.flatMap((i) => elementColumns.map((j) => [i, j] as const));
  const [top, left] = images.pads;
  /** The image at element (i, j) of the kernel, moved by the rows, and by the columns to those of the gradient or not. */
  const imageAt = once((i, j, columnsToo: boolean) => {
    const [down, right] = [top - Math.floor(i / stride), columnsToo ? left - Math.floor(j / stride) : 0];
    const area: Area = [size[0], columnsToo ? size[1] : images.size[1]];
    return flat(moved(e, images.parts[(i % stride) * stride + (j % stride)] ?? '', images.size, area, down, right), inner, area);
  });
  const gradientAt = once((i, j, rowsToo: boolean) => {
    const [down, right] = [rowsToo ? i - top : 0, Math.floor(j / stride) - left];
    const area: Area = [rowsToo ? images.size[0] : size[0], images.size[1]];
    return flat(moved(e, gradient, size, area, down, right), outer, area);
  });
  const stacked = (values: readonly string[]): string => (values.length === 1 ? (values[0] ?? '') : e.node('Concat', values, { axis: 1 }));

  // Products, and of how many elements of the kernel each has the gradient's and the image's copies.
  let pairs: readonly (readonly [gradient: string, image: string])[];
  let [gradientCopies, imageCopies] = [1, 1];
  if (inner * kh * kw <= enoughRows) {
    imageCopies = kh * kw;
    pairs = [[flat(gradient, outer, size), stacked(elements.map(([i, j]) => imageAt(i, j, true)))]];
  } else if (outer * kh * kw <= enoughRows && stride === 1) {
    gradientCopies = kh * kw;
    pairs = [[stacked(elements.map(([i, j]) => gradientAt(i, j, true))), flat(images.parts[0] ?? '', inner, images.size)]];
  } else if (outer * kw <= enoughRows && stride === 1) {
    gradientCopies = kw;
    const copies = stacked(elementColumns.map((j) => gradientAt(0, j, false)));
    pairs = elementRows.map((i) => [copies, imageAt(i, 0, false)] as const);
  } else pairs = elements.map(([i, j]) => [gradientAt(0, j - (j % stride), false), imageAt(i, j % stride, false)] as const);

  // Of narrow matrices, the one with more rows comes first: the runtime rearranges the second.
  const [gradientRows, imageRows] = [outer * gradientCopies, inner * imageCopies];
  const imageFirst = gradientRows < imageRows && gradientRows < enoughRows;
  const products = stacked(pairs.map(([g, image]) => e.node('FusedMatMul', imageFirst ? [image, g] : [g, image], { transB: 1 }, { domain: 'com.microsoft' })));
  const all = large ? e.node('ReduceSum', [products, e.integers([0])], { keepdims: 0 }) : products;
  if (pairs.length > 1 && gradientCopies === 1 && imageCopies === 1 && !imageFirst && e.imageBlock !== undefined && (outer * inner) % e.imageBlock === 0) {
    return elementsLast(e, all, e.imageBlock, [outer, inner, kh, kw], options);
  }
  // [products, rows of the first, rows of the second], without axes of length 1.
  const rowsOf = (copies: number, rows: number, what: 'in' | 'out'): Axis[] => [{ length: copies, what: 'element' }, { length: rows, what }];
  const [ofGradient, ofImage] = [rowsOf(gradientCopies, outer, 'out'), rowsOf(imageCopies, inner, 'in')];
  const axes: readonly Axis[] = [{ length: pairs.length, what: 'element' }, ...(imageFirst ? [...ofImage, ...ofGradient] : [...ofGradient, ...ofImage])];
  const long = axes.filter(({ length, what }) => what !== 'element' || length > 1);
  const perm = ['out', 'in', 'element'].flatMap((wanted) => long.flatMap(({ what }, axis) => (what === wanted ? [axis] : [])));
  const ordered = e.node('Transpose', [e.node('Reshape', [all, e.integers(long.map(({ length }) => length))])], { perm });
  return e.node('Reshape', [ordered, e.integers([outer, inner, kh, kw])], {}, options);
}

/**
 * [kh · kw, out, in] → [out, in, kh, kw] as an image of out · in channels is put in order from blocks of channels, which takes half the time
 * of the runtime's general transposition.
 */
function elementsLast(e: Emitter, elements: string, block: number, shape: readonly [outer: number, inner: number, kh: number, kw: number], options: NodeOptions): string {
  const [outer, inner, kh, kw] = shape;
  const channels = outer * inner;
  const blocks = e.node('Transpose', [e.node('Reshape', [elements, e.integers([kh * kw, channels / block, block])])], { perm: [1, 0, 2] });
  const image = e.node('Reshape', [blocks, e.integers([1, channels, kh, kw])]);
  return e.node('Reshape', [e.node('ReorderOutput', [image], { channels }, { domain: nchwcDomain }), e.integers(shape)], {}, options);
}

interface Axis {
  readonly length: number;
  readonly what: 'element' | 'in' | 'out';
}

type Area = readonly [rows: Dim, columns: Dim];

/** Remembers what was made for an element of the kernel. */
function once(make: (i: number, j: number, both: boolean) => string): (i: number, j: number, both: boolean) => string {
  const made = new Map<string, string>();
  return (i, j, both) => {
    const key = `${i} ${j} ${both}`;
    const name = made.get(key) ?? make(i, j, both);
    made.set(key, name);
    return name;
  };
}

/** An image of size `from` moved down and to the right (up and to the left where negative) within an image of size `to`. */
function moved(e: Emitter, image: string, from: Area, to: Area, down: number, right: number): string {
  const after = [subtractDims(subtractDims(to[0], from[0]), down), subtractDims(subtractDims(to[1], from[1]), right)];
  if ([down, right, ...after].every((count) => count === 0)) return image;
  return e.node('Pad', [image, e.shape([0, 0, down, right, 0, 0, ...after]), e.scalar(0)]);
}

/**
 * The image as a kernel of stride 1 meets it: itself, or where the stride is s, padded and split into s · s images of every s-th row and
 * column. With their size, and how much of the padding is not in them.
 */
function splitImage(e: Emitter, image: string, channels: Dim, from: Area, to: Area, { kernel, stride, pads }: Attributes['conv2dWeightGradient']): { readonly parts: readonly string[]; readonly size: Area; readonly pads: readonly [number, number] } {
  if (stride === 1) return { parts: [image], size: from, pads: [pads[0], pads[1]] };
  const size: Area = [addDims(to[0], Math.floor((kernel[0] - 1) / stride)), addDims(to[1], Math.floor((kernel[1] - 1) / stride))];
  const wide = moved(e, image, from, [multiplyDims(size[0], stride), multiplyDims(size[1], stride)], pads[0], pads[1]);
  const split = e.node('SpaceToDepth', [wide], { blocksize: stride });
  const parts = Array.from({ length: stride * stride }, (_, i) => e.node('Slice', [split, e.shape([multiplyDims(channels, i)]), e.shape([multiplyDims(channels, i + 1)]), e.integers([1])]));
  return { parts, size, pads: [0, 0] };
}
