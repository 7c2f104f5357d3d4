/** The ONNX forms of convolutions. */

import { addDims, multiplyDims, subtractDims } from '../graph/dim.ts';
import { type Form, inputAt, kernelOf, namesOf, numberOf } from './form.ts';

/** The images of a batch side by side as channels. */
const swapBatchAndChannels = { perm: [1, 0, 2, 3] };

export const conv2d: Form<'conv2d'> = (e, inputs, { stride, pads, groups }, _, options) => {
  const kernel = kernelOf(inputAt(inputs, 1));
  return e.onnx.node(
    'Conv',
    namesOf(e, inputs),
    { kernel_shape: kernel, strides: [stride, stride], pads, group: groups },
    options,
  );
};

export const convTranspose2d: Form<'convTranspose2d'> = (
  e,
  inputs,
  { stride, pads, groups, height, width },
  _,
  options,
) => {
  const [x, weight] = [inputAt(inputs, 0), inputAt(inputs, 1)];
  const kernel = kernelOf(weight);
  const [kh, kw] = kernel;
  if (stride === 1 && groups === 1) {
    // A convolution with the kernel turned by 180° and its two channel axes swapped: faster, because it needs no scattered sums.
    const turned =
      kh * kw === 1
        ? e.values.name(weight)
        : e.onnx.node('Slice', [
            e.values.name(weight),
            e.onnx.integers([-1, -1]),
            e.onnx.integers([-1 - kh, -1 - kw]),
            e.onnx.integers([2, 3]),
            e.onnx.integers([-1, -1]),
          ]);
    const swapped = e.onnx.node('Transpose', [turned], swapBatchAndChannels);
    const around = [kh - 1 - pads[0], kw - 1 - pads[1], kh - 1 - pads[2], kw - 1 - pads[3]];
    if (around.every((size) => size >= 0))
      return e.onnx.node('Conv', [e.values.name(x), swapped], { kernel_shape: kernel, pads: around }, options);
  }
  const missing = [height, width].map((size, i) => {
    const covered = addDims(
      multiplyDims(subtractDims(x.shape[2 + i] ?? 1, 1), stride),
      (kernel[i] ?? 0) - (pads[i] ?? 0) - (pads[i + 2] ?? 0),
    );
    return numberOf(subtractDims(size, covered), 'What a strided convolution leaves over of an image');
  });
  const attributes = {
    kernel_shape: kernel,
    strides: [stride, stride],
    pads,
    group: groups,
    output_padding: missing,
  };
  return e.onnx.node('ConvTranspose', namesOf(e, inputs), attributes, options);
};
