/** Mixtures of conditionings: weighted averages and tokens one behind the other. Of the second one only the first entry counts. */

import { concatenate, roundedSum } from '../../tensor/arithmetic.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { ConditioningEntry, ConditioningValue } from '../values/conditioning.ts';
import { cutTokens } from './encode-text.ts';

type Float32 = Tensor<'float32'>;

/** to · strength + from · (1 - strength), rounded as in float32. */
const average = (to: Float32, from: Float32, strength: number): Float32 =>
  roundedSum(Math.fround(strength), to, Math.fround(1 - strength), from);

/** The entries of `to`, each averaged with the first of `from`, which is cut or filled with zeros to its length. */
export function mixed(to: ConditioningValue, from: ConditioningValue, strength: number): ConditioningValue {
  const [first] = from;
  if (!first) return to;
  return to.map((entry): ConditioningEntry => {
    const tokens = entry.cond.shape[1] ?? 0;
    const pooled = entry.pooled_output ?? first.pooled_output;
    return {
      ...entry,
      cond: average(entry.cond, cutTokens(first.cond, tokens), strength),
      ...(pooled && {
        pooled_output: first.pooled_output ? average(pooled, first.pooled_output, strength) : pooled,
      }),
    };
  });
}

/** The entries of `to`, each with the tokens of the first entry of `from` behind its own. */
export function joinTokens(to: ConditioningValue, from: ConditioningValue): ConditioningValue {
  const [first] = from;
  return first ? to.map((entry) => ({ ...entry, cond: concatenate([entry.cond, first.cond], 1) })) : to;
}
