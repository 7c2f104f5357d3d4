/** Precision: the element types of a program's stored parameters and of its arithmetic. */

export interface Precision {
  /** Element type of the parameters in memory. `int8`: the large layers, which then compute in 8 bits too. */
  readonly storage: 'float32' | 'float16' | 'int8';
  /** Element type of the activations inside the program. Inputs and outputs stay float32. */
  readonly compute: 'float32' | 'float16';
}

/** The words that people type for a precision, with what each means. */
export const precisions = {
  float32: { storage: 'float32', compute: 'float32' },
  float16: { storage: 'float16', compute: 'float16' },
  int8: { storage: 'int8', compute: 'float32' },
} as const satisfies Readonly<Record<string, Precision>>;

export type PrecisionName = keyof typeof precisions;

/** The names of all precisions, the default first. */
export const precisionNames = Object.keys(precisions) as [PrecisionName, ...PrecisionName[]];

/** A precision given by its name or in full. Default float32. */
export function precisionOf(precision: PrecisionName | Precision = 'float32'): Precision {
  return typeof precision === 'string' ? precisions[precision] : precision;
}
