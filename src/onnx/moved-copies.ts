/**
 * Copies of an image moved by the places of a kernel's elements, for the gradient of a convolution to its weight: there, pixel by pixel,
 * the image moved by i rows and j columns meets the output's gradient, or the image moved by the rows the gradient moved, the other way,
 * by the columns.
 *
 * Copies are joined from the image and zeros, which the runtime does with all threads (its Pad uses one).
 */

import { addDims, type Dim, multiplyDims, subtractDims } from '../graph/dim.ts';
import type { Value } from '../graph/graph.ts';
import type { Attributes } from '../graph/operations.ts';
import { float32 } from '../tensor/tensor.ts';
import type { Emitter } from './emitter.ts';

/** Row and column in a kernel. */
export type Element = readonly [i: number, j: number];

/** The axis along which a copy is moved. */
export type By = 'nothing' | 'rows' | 'columns' | 'both';

/** Matrices of rows of pixels [b, channels · elements, pixels], or [1, …] with the pixels of all images of the batch. */
export interface MovedCopies {
  readonly gradient: (elements: readonly Element[], by: By) => string;
  readonly image: (elements: readonly Element[], by: By) => string;
}

type Window = Attributes['conv2dWeightGradient'];
type Area = readonly [rows: Dim, columns: Dim];

/**
 * For stride 1 and images whose size is known: to move by rows and columns is to move in memory, if the columns that come to lie in the row
 * before or after are zeros. A copy is some zeros, the image, and some zeros, and several copies one such piece after the other.
 */
export function movedInMemory(
  e: Emitter,
  x: Value,
  dy: Value,
  { kernel: [kh, kw], pads: [top, left] }: Window,
): MovedCopies {
  const b = x.shape[0] ?? 1;
  const pitch = Math.max(Number(x.shape[3]), Number(dy.shape[3]));
  const before = Math.max(top, kh - 1 - top) * pitch + Math.max(left, kw - 1 - left);
  const length = Math.max(Number(x.shape[2]), Number(dy.shape[2])) * pitch + 2 * before;
  const copiesOf = (value: Value, direction: 1 | -1): MovedCopies['image'] => {
    const [channels, rows, columns] = value.shape.slice(1).map(Number) as [number, number, number];
    const count = rows * pitch;
    const image = extended(e, e.values.name(value), value.shape, 3, 0, pitch - columns);
    /** Without the columns that move out of their row. */
    const within = remembered((move) => {
      const kept = Float32Array.from({ length: pitch }, (_, column) =>
        column >= columns || (column + move >= 0 && column + move < pitch) ? 1 : 0,
      );
      const all = kept.every((factor) => factor === 1);
      return e.onnx.node('Reshape', [
        all ? image : e.onnx.node('Mul', [image, e.onnx.constant(float32([pitch], kept))]),
        e.shapes.vector([b, channels, count]),
      ]);
    }, String);
    const zeros = (size: number): string[] => (size === 0 ? [] : [e.shapes.filled(0, [b, channels, size])]);
    return (elements, by) => {
      let end = 0;
      const pieces = elements.flatMap(([i, j], copy) => {
        const down = movesDown(by) ? direction * (i - top) : 0;
        const right = movesRight(by) ? direction * (j - left) : 0;
        const start = copy * length + before + down * pitch + right;
        const gap = zeros(start - end);
        end = start + count;
        return [...gap, within(right)];
      });
      const joined = e.onnx.node('Concat', [...pieces, ...zeros(elements.length * length - end)], { axis: 2 });
      return e.onnx.node('Reshape', [joined, e.shapes.vector([b, channels * elements.length, length])]);
    };
  };
  return eachOnce({ gradient: copiesOf(dy, 1), image: copiesOf(x, -1) });
}

const movesDown = (by: By): boolean => by === 'rows' || by === 'both';
const movesRight = (by: By): boolean => by === 'columns' || by === 'both';

/** The area `moved` in the directions that move, and `still` in the others. */
function areaOf(by: By, moved: Area, still: Area): Area {
  return [movesDown(by) ? moved[0] : still[0], movesRight(by) ? moved[1] : still[1]];
}

/**
 * For images of every size and stride. Of small images (`large` false) the pixels of the whole batch are one row, those of one place side by
 * side; so what is moved is longer than a row of a small image.
 */
export function movedInPlane(e: Emitter, x: Value, dy: Value, window: Window, large: boolean): MovedCopies {
  const { stride, pads } = window;
  const b = x.shape[0] ?? 1;
  const size: Area = [dy.shape[2] ?? 1, dy.shape[3] ?? 1];
  // If nothing moves, the order of pixels does not matter, and this one is the cheapest.
  const still = stride === 1 && window.kernel.every((length) => length === 1) && pads.every((count) => count === 0);
  const arranged = (value: string): string =>
    large ? value : e.onnx.node('Transpose', [value], { perm: still ? [1, 0, 2, 3] : [1, 2, 3, 0] });
  const shapeOf = (channels: Dim, area: Area): Dim[] => (large ? [b, channels, ...area] : [channels, ...area, b]);
  const moved = (
    image: string,
    channels: number,
    from: Area,
    to: Area,
    [down, right]: readonly [number, number],
  ): string => {
    const rowsAxis = large ? 2 : 1;
    const inRows = extended(
      e,
      image,
      shapeOf(channels, from),
      rowsAxis,
      down,
      subtractDims(subtractDims(to[0], from[0]), down),
    );
    const inBoth = extended(
      e,
      inRows,
      shapeOf(channels, [to[0], from[1]]),
      rowsAxis + 1,
      right,
      subtractDims(subtractDims(to[1], from[1]), right),
    );
    const pixels = multiplyDims(to[0], to[1]);
    return e.onnx.node('Reshape', [
      inBoth,
      e.shapes.vector(large ? [b, channels, pixels] : [1, channels, multiplyDims(pixels, b)]),
    ]);
  };
  const stacked = (copies: readonly string[], channels: number): string => {
    if (copies.length === 1) return copies[0] ?? '';
    return e.onnx.node('Reshape', [
      e.onnx.node('Concat', copies, { axis: 2 }),
      e.shapes.vector([large ? b : 1, channels * copies.length, -1]),
    ]);
  };
  const [inner, outer] = [Number(x.shape[1]), Number(dy.shape[1])];
  const images = splitImage(e, x, size, window);
  const parts = images.parts(arranged, large ? 1 : 0);
  const gradient = arranged(e.values.name(dy));
  const [top, left] = stride === 1 ? pads : [0, 0];
  const shift = ([i, j]: Element, by: By, direction: 1 | -1): readonly [number, number] => [
    movesDown(by) ? direction * (Math.floor(i / stride) - top) : 0,
    movesRight(by) ? direction * (Math.floor(j / stride) - left) : 0,
  ];
  return eachOnce({
    gradient: (elements, by) =>
      stacked(
        elements.map((element) => moved(gradient, outer, size, areaOf(by, images.size, size), shift(element, by, 1))),
        outer,
      ),
    image: (elements, by) =>
      stacked(
        elements.map((element) => {
          const part = parts[(element[0] % stride) * stride + (element[1] % stride)] ?? '';
          return moved(part, inner, images.size, areaOf(by, size, images.size), shift(element, by, -1));
        }),
        inner,
      ),
  });
}

/** Caches the result for the same arguments. */
function remembered<A extends readonly unknown[]>(
  make: (...given: A) => string,
  keyOf: (...given: A) => string,
): (...given: A) => string {
  const made = new Map<string, string>();
  return (...given) => {
    const key = keyOf(...given);
    const name = made.get(key) ?? make(...given);
    made.set(key, name);
    return name;
  };
}

function eachOnce({ gradient, image }: MovedCopies): MovedCopies {
  const keyOf = (elements: readonly Element[], by: By): string => `${by} ${elements.join(' ')}`;
  return { gradient: remembered(gradient, keyOf), image: remembered(image, keyOf) };
}

/** An image with zeros before and after along one axis, or where these are negative, without its first and last elements. */
function extended(e: Emitter, image: string, shape: readonly Dim[], axis: number, before: number, after: Dim): string {
  if (before === 0 && after === 0) return image;
  const along = <T>(value: T, none: T): T[] => shape.map((_, i) => (i === axis ? value : none));
  if (typeof after !== 'number')
    return e.onnx.node('Pad', [
      image,
      e.shapes.vector([...along<Dim>(before, 0), ...along<Dim>(after, 0)]),
      e.onnx.scalar(0),
    ]);
  const toEnd = 2 ** 31 - 1;
  const cut =
    Math.min(before, after) >= 0
      ? image
      : e.onnx.node('Slice', [
          image,
          e.onnx.integers([Math.max(0, -before)]),
          e.onnx.integers([after < 0 ? after : toEnd]),
          e.onnx.integers([axis]),
        ]);
  const zeros = (count: number): string[] =>
    count > 0
      ? [
          e.shapes.filled(
            0,
            shape.map((size, i) => (i === axis ? count : size)),
          ),
        ]
      : [];
  const pieces = [...zeros(before), cut, ...zeros(after)];
  return pieces.length === 1 ? cut : e.onnx.node('Concat', pieces, { axis });
}

/**
 * An image as a kernel of stride 1 meets it: itself, or where the stride is s, padded and split into s · s images of every s-th row and
 * column, with their size.
 */
function splitImage(
  e: Emitter,
  x: Value,
  to: Area,
  { kernel, stride, pads }: Window,
): {
  readonly size: Area;
  readonly parts: (arranged: (image: string) => string, channelAxis: number) => readonly string[];
} {
  const [, channels = 1, height = 1, width = 1] = x.shape;
  if (stride === 1) return { size: [height, width], parts: (arranged) => [arranged(e.values.name(x))] };
  const size: Area = [
    addDims(to[0], Math.floor((kernel[0] - 1) / stride)),
    addDims(to[1], Math.floor((kernel[1] - 1) / stride)),
  ];
  const wide = size.map((length) => multiplyDims(length, stride));
  const parts = (arranged: (image: string) => string, channelAxis: number): string[] => {
    const after = (axis: 0 | 1): Dim => subtractDims(subtractDims(wide[axis] ?? 1, x.shape[axis + 2] ?? 1), pads[axis]);
    const inRows = extended(e, e.values.name(x), x.shape, 2, pads[0], after(0));
    const inBoth = extended(e, inRows, [x.shape[0] ?? 1, channels, wide[0] ?? 1, width], 3, pads[1], after(1));
    const split = arranged(e.onnx.node('SpaceToDepth', [inBoth], { blocksize: stride }));
    return Array.from({ length: stride * stride }, (_, i) =>
      e.onnx.node('Slice', [
        split,
        e.shapes.vector([multiplyDims(channels, i)]),
        e.shapes.vector([multiplyDims(channels, i + 1)]),
        e.onnx.integers([channelAxis]),
      ]),
    );
  };
  return { size, parts };
}
