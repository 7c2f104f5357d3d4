/**
 * The ONNX form of linear layers whose weights are in blocks of 32 numbers of 4 or 8 bits: com.microsoft.MatMulNBits, which widens them as it
 * multiplies, in float32. Without zero points 8 or 128 is zero.
 */

import { type Form, inputAt, namesOf } from './form.ts';
import { microsoftDomain } from './onnx-builder.ts';

export const blockLinear: Form<'blockLinear'> = (e, inputs, { bits }, _, options) => {
  const [x = '', weight = '', scale = '', bias] = namesOf(e, inputs);
  const [N = 0, blocks = 0] = inputAt(inputs, 1).shape.map(Number);
  return e.onnx.node(
    'MatMulNBits',
    [x, weight, scale, ...(bias === undefined ? [] : ['', '', bias])],
    { K: 32 * blocks, N, bits, block_size: 32 },
    { ...options, domain: microsoftDomain },
  );
};
