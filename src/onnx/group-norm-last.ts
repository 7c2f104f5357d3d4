/**
 * Group normalisation of images with channels last. The sums over the pixels are products with ones: ONNX Runtime's reductions over an
 * axis that is not the last take forty times as long.
 */

import { multiplyDims } from '../graph/dim.ts';
import { type Form, inputAt, numberOf } from './form.ts';

export const groupNormLast: Form<'groupNormLast'> = (e, inputs, { groups, epsilon }, output, options) => {
  const { onnx, shapes, values } = e;
  const [x, weight, bias] = [inputAt(inputs, 0), inputAt(inputs, 1), inputAt(inputs, 2)];
  const channels = numberOf(x.shape.at(-1), 'The number of channels');
  const pixels = x.shape.slice(1, -1).reduce(multiplyDims, 1);
  const inGroups = [groups, channels / groups];
  const rows = onnx.node('Reshape', [values.name(x), onnx.integers([0, -1, channels])]);
  const count = onnx.once(`count of ${shapes.vector([pixels])}`, () =>
    onnx.node('Cast', [shapes.vector([pixels])], { to: 1 }),
  );
  /** The mean of values [b, pixels, c] in each group: [b, groups, 1]. */
  const mean = (of: string): string => {
    const sums = onnx.node('MatMul', [shapes.filled(1, [1, pixels]), of]);
    const grouped = onnx.node('Reshape', [onnx.node('Div', [sums, count]), onnx.integers([0, ...inGroups])]);
    return onnx.node('ReduceMean', [grouped, onnx.integers([2])], { keepdims: 1 });
  };
  const parameter = (value: typeof weight): string =>
    values.isParameter(value)
      ? values.parameter(value, inGroups)
      : onnx.node('Reshape', [values.name(value), onnx.integers(inGroups)]);
  const first = mean(rows);
  const square = onnx.node('Sub', [mean(onnx.node('Mul', [rows, rows])), onnx.node('Mul', [first, first])]);
  const variance = onnx.node('Add', [onnx.node('Max', [square, onnx.scalar(0)]), onnx.scalar(epsilon)]);
  const scale = onnx.node('Div', [parameter(weight), onnx.node('Sqrt', [variance])]);
  const shift = onnx.node('Sub', [parameter(bias), onnx.node('Mul', [first, scale])]);
  const perChannel = (value: string): string => onnx.node('Reshape', [value, onnx.integers([0, 1, channels])]);
  const scaled = onnx.node('Add', [onnx.node('Mul', [rows, perChannel(scale)]), perChannel(shift)]);
  return onnx.node('Reshape', [scaled, shapes.vector(output.shape)], {}, options);
};
