/** Block size in channels of ONNX Runtime's direct convolutions on this processor: 16 with AVX-512, 8 with AVX, none on others. */

import { nchwcDomain } from '../onnx/onnx-builder.ts';
import { encodeModel } from '../onnx/model.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

const channels = 32;
const shape = [1, channels, 1, 2] as const;

/** A model that brings an image `x` into blocks, `y`. */
export function blockProbe(): Uint8Array {
  const value = (name: string) => ({ name, dtype: 'float32', shape }) as const;
  const node = {
    op: 'ReorderInput',
    domain: nchwcDomain,
    name: 'probe',
    inputs: ['x'],
    outputs: ['y'],
    attributes: {},
  };
  return encodeModel({ name: 'probe', nodes: [node], inputs: [value('x')], outputs: [value('y')], initializers: [] });
}

/** Its input: the number of each element. */
export const probeInput = (): Tensor =>
  float32(
    shape,
    Array.from({ length: 2 * channels }, (_, i) => i),
  );

/** The size of blocks, from the model's output: the second pixel (element 1) follows the first block of the first pixel. Undefined without blocks. */
export function blockFrom(output: Tensor | undefined): number | undefined {
  const block = output ? [...output.data].map(Number).indexOf(1) : -1;
  return block > 1 ? block : undefined;
}
