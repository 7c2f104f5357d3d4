/** Values of the extra settings: checked, as part of a request, as A1111's API has them, and read back from a picture. */

import { isSeedText, type PlainSeed, plainSeed } from '../../../src/random/plain-seed.ts';
import type { Task } from '../../../src/generation/request.ts';
import { type Extra, type ExtraField, type ExtraGroup, type ExtraValue, extraGroups } from './extra-fields.ts';

type Json = Record<string, unknown>;

export const extraValue = (extra: Extra, { path, initial }: ExtraField): ExtraValue => extra[path] ?? initial;

/** Whether a group's fields count. */
export function isOn({ name, always, any, toggle, fields }: ExtraGroup, extra: Extra): boolean {
  if (always) return true;
  if (any) return fields.some((field) => extraValue(extra, field) !== field.initial);
  const [first] = fields;
  return toggle === undefined ? extraValue(extra, first) !== first.initial : extra[name] === true;
}

/** Where pictures are made: in this browser, or by a server with one of two APIs. */
export type Place = 'browser' | 'server' | 'a1111';

const hasPlace = ({ onServer, a1111, fields }: ExtraGroup, place: Place): boolean =>
  place === 'a1111'
    ? a1111 !== undefined || fields.some((field) => field.a1111 !== undefined)
    : place === 'server' || !onServer;

/** The groups that a task has in this place. */
export const groupsOf = (task: Task, place: Place): readonly ExtraGroup[] =>
  extraGroups.filter((group) => (group.tasks?.includes(task) ?? true) && hasPlace(group, place));

function checkedValue({ control, initial }: ExtraField, given: unknown): ExtraValue {
  if (control.kind === 'choice') return control.options.find(([name]) => name === given)?.[0] ?? initial;
  if (control.kind === 'switch') return given === true;
  if (control.kind === 'seed') {
    const text = String(given).trim();
    return isSeedText(text) ? plainSeed(text) : initial;
  }
  const value = Number(given ?? Number.NaN);
  return Number.isFinite(value) ? Math.min(control.max, Math.max(control.min, value)) : initial;
}

/** Values of any origin, without those that are unknown or at their default. */
export function checkedExtra(given: unknown): Extra {
  if (typeof given !== 'object' || given === null) return {};
  const extra: Record<string, ExtraValue> = {};
  const from = given as Json;
  for (const { name, toggle, fields } of extraGroups) {
    if (toggle !== undefined && from[name] === true) extra[name] = true;
    for (const field of fields) {
      if (!Object.hasOwn(from, field.path)) continue;
      const value = checkedValue(field, from[field.path]);
      if (value !== field.initial) extra[field.path] = value;
    }
  }
  return extra;
}

function put(into: Json, path: string, value: unknown): void {
  const parts = path.split('.');
  const last = parts.pop() ?? path;
  let at = into;
  for (const part of parts) {
    at[part] ??= {};
    at = at[part] as Json;
  }
  at[last] = value;
}

function get(from: unknown, path: string): unknown {
  let at = from;
  for (const part of path.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Json)[part];
  }
  return at;
}

/** A value that stands for "as it is without". */
const isLeftOut = ({ path, control }: ExtraField, value: ExtraValue): boolean =>
  (control.kind === 'seed' && value === -1) || (path === 'hires.steps' && value === 0);

/** The part of a job of the jobs API, and of the library's request. */
export function extraRequest(extra: Extra, task: Task, place: Exclude<Place, 'a1111'>): Json {
  const request: Json = {};
  for (const group of groupsOf(task, place)) {
    if (!isOn(group, extra)) continue;
    for (const field of group.fields) {
      const value = extraValue(extra, field);
      if (!isLeftOut(field, value)) put(request, field.path, value);
    }
  }
  return request;
}

/** The same for A1111's API, as far as it has them. */
export function extraForA1111(extra: Extra, task: Task): { override_settings?: Json } & Json {
  const body: { override_settings?: Json } & Json = {};
  for (const group of groupsOf(task, 'a1111')) {
    if (!isOn(group, extra)) continue;
    Object.assign(body, group.a1111);
    for (const field of group.fields) {
      const value = extraValue(extra, field);
      if (!field.a1111 || isLeftOut(field, value)) continue;
      const [path, map = (same: ExtraValue) => same] = field.a1111;
      put(body, path, map(value));
    }
  }
  return body;
}

/** Whether a text tells of the group: `Denoising strength` alone is img2img's. */
function tells({ fields, told }: ExtraGroup, fieldsOfText: Readonly<Json>): boolean {
  if (told) return fieldsOfText[told[0]] === told[1];
  const [{ infotext }] = fields;
  return infotext !== undefined && fieldsOfText[infotext] !== undefined;
}

/** A value as A1111's text has it: `True`, `Lanczos`. */
function fromText({ control, path }: ExtraField, value: unknown): unknown {
  if (control.kind !== 'choice' || typeof value !== 'string') return value;
  if (path === 'seamless') return value === 'True' ? 'both' : value;
  return control.options.find(([name, label]) => [name, label.toLowerCase()].includes(value.toLowerCase()))?.[0];
}

/** The extra settings of a picture: by its record, else by its text as A1111 writes it. */
export function extraOfPicture(text: Readonly<Json>, record: unknown): Extra {
  const found: Json = {};
  for (const group of extraGroups) {
    for (const field of group.fields) {
      const recorded = get(record, field.path);
      const { infotext } = field;
      const told =
        recorded ??
        (infotext !== undefined && (group.always || tells(group, text)) ? fromText(field, text[infotext]) : undefined);
      if (told === undefined) continue;
      found[field.path] = told;
      if (group.toggle !== undefined) found[group.name] = true;
    }
  }
  return checkedExtra(found);
}

/** The extra settings of a task as rows for people. */
export function extraRows(extra: Extra, task: Task): readonly (readonly [label: string, value: string])[] {
  return groupsOf(task, 'server').flatMap((group) => {
    if (!isOn(group, extra) || (group.always && group.fields.every(({ path }) => extra[path] === undefined))) return [];
    return group.fields.map((field): readonly [string, string] => {
      const value = extraValue(extra, field);
      const { control, label } = field;
      const name = control.kind === 'choice' ? control.options.find(([option]) => option === value)?.[1] : undefined;
      const told = control.kind === 'switch' ? 'yes' : (name ?? String(value));
      return [group.toggle === undefined ? label : `${group.toggle}: ${label}`, told];
    });
  });
}

const variation = extraGroups.find(({ name }) => name === 'variation') as ExtraGroup;
const variationSeed = 'noiseSettings.subseed';

/** With the seed of a picture's variation, where it is one. */
export function withVariationSeed(extra: Extra, seed: PlainSeed): Extra {
  return isOn(variation, extra) ? { ...extra, [variationSeed]: seed } : extra;
}

/** Whether each run takes another seed for its variation. */
export const isAnyVariation = (extra: Extra): boolean => isOn(variation, extra) && extra[variationSeed] === undefined;
export const isVariation = (extra: Extra): boolean => isOn(variation, extra);
