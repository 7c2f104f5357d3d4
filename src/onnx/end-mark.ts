/**
 * An output that is no tensor, in front of a model's own. onnxruntime-node (1.30) copies every output that a run returns into new memory,
 * also one that was written where the caller wanted it, and gives up at the first that is no tensor: by then all have been written. So a
 * run that asks for this output too ends with `isEndMark(error)` and has copied nothing.
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
