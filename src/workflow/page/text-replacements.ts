/** Words between percent signs in the names of files that the page replaces when it sends a workflow: `%date:yyyy-MM-dd%`, `%KSampler.seed%`. */

import type { ExactJson } from '../../formats/exact-json.ts';

/** Numbers of a date by the letters of a format. */
function dateText(format: string, date: Date): string {
  const parts: Readonly<Record<string, number>> = {
    d: date.getDate(),
    M: date.getMonth() + 1,
    h: date.getHours(),
    m: date.getMinutes(),
    s: date.getSeconds(),
  };
  return format.replace(/d{1,2}|M{1,2}|h{1,2}|m{1,2}|s{1,2}|yyyy|yyy|yy|y/g, (letters) => {
    const year = String(date.getFullYear());
    if (letters.startsWith('y')) return letters.length <= 2 ? year.slice(-2) : year;
    return String(parts[letters[0] as string]).padStart(letters.length, '0');
  });
}

/** Finds the value of a widget by its node's title, or the name that other nodes use for it. Undefined if there is none. */
export type WidgetLookup = (node: string, widget: string) => ExactJson | undefined;

export function withReplacements(text: string, lookup: WidgetLookup, date: Date): string {
  return text.replace(/%([^%]+)%/g, (whole, inside: string) => {
    if (inside.startsWith('date:')) return dateText(inside.slice(5), date);
    const [node = '', widget, ...more] = inside.split('.');
    if (widget === undefined || more.length > 0) return whole;
    const value = lookup(node, widget);
    return value === undefined ? whole : String(value).replace(/[/?<>\\:*|"\u0000-\u001f\u007f]/g, '_');
  });
}

/** Classes whose inputs of this name are names of files. */
export const fileNameInputs: ReadonlyMap<string, string> = new Map(
  [
    'SaveImage',
    'SaveLatent',
    'CheckpointSave',
    'CLIPSave',
    'VAESave',
    'ModelSave',
    'LoraSave',
    'SaveAnimatedWEBP',
    'SaveAnimatedPNG',
  ].map((name) => [name, 'filename_prefix']),
);
