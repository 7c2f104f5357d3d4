/**
 * What a row of the table of extra settings is. A row names the setting's path in a job of the jobs API, which is its
 * path in the library's request too where `place` does not say otherwise, its control, and its name in A1111's text and API.
 */

import type { Task } from '../../../src/generation/request.ts';

export type ExtraValue = string | number | boolean;
/** Values by path, and the switches that are on, by the group's name. What stands at its default is left out. */
export type Extra = Readonly<Record<string, ExtraValue>>;

type Control =
  | { readonly kind: 'slider'; readonly min: number; readonly max: number; readonly step: number }
  | { readonly kind: 'choice'; readonly options: readonly (readonly [value: string, label: string])[] }
  | { readonly kind: 'seed' }
  | { readonly kind: 'switch' };

export interface ExtraField {
  readonly path: string;
  readonly label: string;
  readonly hint?: string;
  readonly control: Control;
  readonly initial: ExtraValue;
  /** Its name in A1111's text under a picture. */
  readonly infotext?: string;
  /** Its field in A1111's API, and the value there. */
  readonly a1111?: readonly [field: string, value?: (value: ExtraValue) => unknown];
}

export interface ExtraGroup {
  readonly name: string;
  readonly section: 'prompt' | 'outpaint' | 'inpaint' | 'variation' | 'hires' | 'more';
  /** Default: every task. */
  readonly tasks?: readonly Task[];
  /** Only this program's server has it. */
  readonly onServer?: true;
  /** The label of the switch that turns the group on. Without one, the first field does where it is not at its default. */
  readonly toggle?: string;
  /** The group is always on. */
  readonly always?: true;
  /** The group is on where any of its fields is not at its default; all are shown. */
  readonly any?: true;
  /** What A1111's text says for a group that is on, where the first field alone does not tell. */
  readonly told?: readonly [label: string, value: string];
  /** What A1111's API takes for a group that is on. */
  readonly a1111?: Readonly<Record<string, unknown>>;
  readonly fields: readonly [ExtraField, ...ExtraField[]];
}

/** Pixels that a side may be extended by, and in which steps. */
export const [mostAdded, addedStep] = [512, 8];

export const slider = (min: number, max: number, step: number): Control => ({ kind: 'slider', min, max, step });
export const factor = (path: string, label: string, initial: number): ExtraField => ({
  path,
  label,
  control: slider(0, 2, 0.05),
  initial,
});
export const added = (path: string, label: string): ExtraField => ({
  path,
  label,
  control: slider(0, mostAdded, addedStep),
  initial: 0,
});
