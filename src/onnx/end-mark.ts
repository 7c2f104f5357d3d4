/**
 * A dummy non-tensor output, before a model's own. onnxruntime-node (1.30) copies every output that a run returns into new memory,
 * even one written to the caller's buffer, and throws at the first non-tensor; by then all outputs have been written. So a
 * run that requests this output too ends with `isEndMark(error)` and has copied nothing.
 */

import type { OnnxNode, OnnxValue } from './model.ts';

export const endMark = '(end)';

export const endMarkNode: OnnxNode = {
  op: 'SequenceEmpty',
  domain: '',
  name: endMark,
  inputs: [],
  outputs: [endMark],
  attributes: {},
};
export const endMarkOutput: OnnxValue = { name: endMark, dtype: 'float32', shape: 'sequence' };

export function isEndMark(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Non tensor type is temporarily not supported');
}
