/** Control units of the form. Each guides the result by a picture; the pictures are kept apart, by the unit's id. */

import { newId } from '../history/new-id.ts';

export const controlModes = [
  ['balanced', 'Balanced'],
  ['prompt', 'The prompt is more important'],
  ['control', 'The control is more important'],
] as const;

/** Stands for the network of a unit that needs none: its picture is a reference. */
export const noNetwork = 'None';

/** What people read for a network. */
export const networkName = (title: string): string => (title === noNetwork ? 'Reference picture' : bareName(title));

export interface ControlUnit {
  readonly id: string;
  /** Title of a control network. */
  readonly model: string;
  /** What makes the map of the picture; `none` if the picture is one. */
  readonly preprocessor: string;
  readonly weight: number;
  /** Shares of the steps between which it acts. */
  readonly start: number;
  readonly end: number;
  readonly mode: (typeof controlModes)[number][0];
}

export const mostControls = 4;

export function newControl(model: string, preprocessor: string): ControlUnit {
  return { id: newId(), model, preprocessor, weight: 1, start: 0, end: 1, mode: 'balanced' };
}

function within(value: unknown, most: number, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? Math.min(most, Math.max(0, value)) : otherwise;
}

/** Units from any source; what is no unit is left out. */
export function checkedControls(given: unknown): readonly ControlUnit[] {
  if (!Array.isArray(given)) return [];
  return given.slice(0, mostControls).flatMap((one: unknown): ControlUnit[] => {
    if (typeof one !== 'object' || one === null) return [];
    const { id, model, preprocessor, weight, start, end, mode } = one as Partial<Record<keyof ControlUnit, unknown>>;
    if (typeof model !== 'string') return [];
    return [
      {
        id: typeof id === 'string' ? id : newId(),
        model,
        preprocessor: typeof preprocessor === 'string' ? preprocessor : 'none',
        weight: within(weight, 2, 1),
        start: within(start, 1, 0),
        end: within(end, 1, 1),
        mode: controlModes.find(([name]) => name === mode)?.[0] ?? 'balanced',
      },
    ];
  });
}

/** The units of a picture, by its record: controls, then image prompts. Their pictures are not in the file. */
export function controlsOfRecord(record: unknown): readonly ControlUnit[] {
  if (typeof record !== 'object' || record === null) return [];
  const { control, imagePrompts } = record as { readonly control?: unknown; readonly imagePrompts?: unknown };
  const all = [control, imagePrompts].flatMap((list): readonly unknown[] => (Array.isArray(list) ? list : []));
  return checkedControls(all);
}

/** A title without its hash, a file's name without folder and ending: the same network under its several names. */
export function bareName(title: string): string {
  return (title.split(/[\\/]/).at(-1) ?? title)
    .replace(/ \[[0-9a-f]+\]$/i, '')
    .replace(/\.(?:safetensors|pt|pth|bin|ckpt)$/i, '');
}

/** Units as rows for people. */
export function controlRows(units: readonly ControlUnit[]): readonly (readonly [label: string, value: string])[] {
  return units.map(({ model, preprocessor, weight }, i) => [
    units.length === 1 ? 'Control' : `Control ${i + 1}`,
    `${networkName(model)}${preprocessor === 'none' ? '' : `, ${preprocessor}`}, weight ${weight}`,
  ]);
}
