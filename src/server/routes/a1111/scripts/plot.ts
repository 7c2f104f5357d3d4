/** A1111's script "X/Y/Z plot" (scripts/xyz_grid.py, v1.10.1). */

import { StableDiffusionError } from '../../../../errors.ts';
import {
  type Axis,
  axesOf,
  axisLegend,
  axisSize,
  orderedPrompt,
  replacedPrompts,
} from '../../../../generation/plot/axes.ts';
import { type AxisValue, axisValues, csvCells } from '../../../../generation/plot/axis-values.ts';
import { legendGrid, plainGrid } from '../../../../image/grid-legend.ts';
import type { Image } from '../../../../image/image.ts';
import { legendFont } from '../../../../image/legend-font-node.ts';
import { atField } from '../../../http/problem.ts';
import type { Answer } from '../../../http/route.ts';
import {
  answerScript,
  composed,
  decideAll,
  firstMade,
  fixedSeeds,
  makeAll,
  pictureOf,
  type Shown,
  shownOf,
} from './cells.ts';
import type { Arguments, Body, Script, ScriptArgument, ScriptCall } from './script.ts';

/** An axis with its values, as a request chose them. */
interface Chosen {
  readonly axis: Axis;
  readonly values: readonly AxisValue[];
  /** As text, for the infotext. */
  readonly text: string;
}

const letters = ['X', 'Y', 'Z'] as const;

function argumentsOf(isImageToImage: boolean): readonly ScriptArgument[] {
  const labels = axesOf(isImageToImage ? 'img2img' : 'txt2img').map(({ label }) => label);
  return [
    ...letters.flatMap((letter, i): ScriptArgument[] => [
      { label: `${letter} type`, value: labels[i === 0 ? 1 : 0], choices: labels },
      { label: `${letter} values`, value: '' },
      { label: `${letter} values`, value: [] },
    ]),
    { label: 'Draw legend', value: true },
    { label: 'Include Sub Images', value: false },
    { label: 'Include Sub Grids', value: false },
    { label: 'Keep -1 for seeds', value: false },
    ...letters.map((letter) => ({ label: `Vary seeds for ${letter}`, value: false })),
    { label: 'Grid margins (px)', value: 0, minimum: 0, maximum: 500, step: 2 },
    { label: 'Use text inputs instead of dropdowns', value: false },
  ];
}

interface PlotSettings {
  readonly legend: boolean;
  readonly loneImages: boolean;
  readonly subGrids: boolean;
  readonly keepsSeeds: boolean;
  readonly vary: readonly boolean[];
  readonly margin: number;
  readonly isText: boolean;
}

/** The settings after the axes. Before 1.8 there were none for varying seeds. */
function settingsOf(args: Arguments): PlotSettings {
  const isOld = args.length > 9 && args.length < 18 && typeof args.at(13) === 'number';
  const old = (place: number): number => place - (isOld ? 3 : 0);
  return {
    legend: args.flag(9),
    loneImages: args.flag(10),
    subGrids: args.flag(11),
    keepsSeeds: args.flag(12),
    vary: isOld ? [false, false, false] : [args.flag(13), args.flag(14), args.flag(15)],
    margin: isOld ? Number(args.at(13)) : args.whole(16),
    isText: args.length > old(17) && args.at(old(17)) === true,
  };
}

async function chosenAxis(args: Arguments, first: number, isImageToImage: boolean, isText: boolean): Promise<Chosen> {
  const known = axesOf(isImageToImage ? 'img2img' : 'txt2img');
  const type = args.at(first);
  const axis = typeof type === 'number' ? known[type] : known.find(({ label }) => label === type);
  if (!axis) return args.refuse(first, `unexpected value; permitted: ${known.map(({ label }) => label).join(', ')}`);
  if (axis.label === 'Nothing') return { axis, values: [0], text: '' };
  if (axis.a1111 === undefined) return args.refuse(first, `this server has no axis ${axis.label}`);
  const list = args.at(first + 2);
  const names = Array.isArray(list) ? list.map(String) : [];
  const text = String(args.at(first + 1) ?? '');
  const cells = axis.isChosen && !isText && names.length > 0 ? names : csvCells(text);
  const values = await atField(['body', 'script_args', first + 1], async () => axisValues(cells, axis.kind));
  if (values.length === 0) return args.refuse(first + 1, `the axis ${axis.label} needs values`);
  return { axis, values, text: cells === names ? names.join(', ') : text };
}

/** The request of a cell: one value of an axis put into it. */
function withValue(body: Body, { axis, values }: Chosen, value: AxisValue): Body {
  const { label, a1111: field = '' } = axis;
  if (label === 'Nothing') return body;
  const prompts = { prompt: body.prompt ?? '', negative: body.negative_prompt ?? '' };
  if (label === 'Prompt S/R') {
    const { prompt, negative } = replacedPrompts(prompts, String(value), String(values[0]));
    return { ...body, prompt, negative_prompt: negative };
  }
  if (label === 'Prompt order') return { ...body, prompt: orderedPrompt(prompts.prompt, value as readonly string[]) };
  if (label === 'Size') return { ...body, ...axisSize(value) };
  if (label === 'Styles') return { ...body, styles: [...(body.styles ?? []), ...String(value).split(',')] };
  if (field.startsWith('.'))
    return { ...body, override_settings: { ...body.override_settings, [field.slice(1)]: value } };
  return { ...body, [field]: value };
}

interface Plot {
  readonly call: ScriptCall;
  readonly chosen: readonly [Chosen, Chosen, Chosen];
  readonly settings: PlotSettings;
}

/** Seeds of an axis that are to be drawn are drawn before. */
function withDrawnSeeds(chosen: Chosen, { context }: ScriptCall, { keepsSeeds }: PlotSettings): Chosen {
  if (keepsSeeds || !['Seed', 'Var. seed'].includes(chosen.axis.label)) return chosen;
  return { ...chosen, values: chosen.values.map((value) => (value === -1 ? context.random(2 ** 32 - 2) : value)) };
}

/** The requests of all cells: x changes first, z last. */
function cellsOf({ call, chosen, settings }: Plot): Body[] {
  const [xs, ys, zs] = chosen;
  const base = settings.keepsSeeds ? call.body : fixedSeeds(call, call.body);
  const varied = (body: Body, ix: number, iy: number, iz: number): Body => {
    const [x, y, z] = settings.vary;
    const width = x ? xs.values.length : 1;
    const height = y ? ys.values.length : 1;
    const more = (x ? ix : 0) + (y ? iy * width : 0) + (z ? iz * width * height : 0);
    return more === 0 ? body : { ...body, seed: Number(body.seed ?? 0) + more };
  };
  return zs.values.flatMap((z, iz) =>
    ys.values.flatMap((y, iy) =>
      xs.values.map((x, ix) => varied(withValue(withValue(withValue(base, xs, x), ys, y), zs, z), ix, iy, iz)),
    ),
  );
}

/** Indices of the cells in the order in which they are made: what takes longest to change, changes last. */
function orderOf([xs, ys, zs]: Plot['chosen']): number[] {
  const [width, height] = [xs.values.length, ys.values.length];
  const all = Array.from({ length: width * height * zs.values.length }, (_, i) => i);
  const places = [
    { cost: zs.axis.cost ?? 0, of: (i: number) => Math.floor(i / (width * height)) },
    { cost: ys.axis.cost ?? 0, of: (i: number) => Math.floor(i / width) % height },
    { cost: xs.axis.cost ?? 0, of: (i: number) => i % width },
  ].sort((a, b) => b.cost - a.cost);
  return all.sort((a, b) => places.reduce((found, { of }) => found || of(a) - of(b), 0));
}

/** One grid for each value of z, and all of them side by side. */
async function gridsOf(cells: readonly (Image<3> | undefined)[], { chosen, settings }: Plot): Promise<Image<3>[]> {
  const [xs, ys, zs] = chosen;
  const { legend, margin } = settings;
  const font = legendFont;
  const lines = ({ axis, values }: Chosen) => values.map((value) => [{ text: axisLegend(axis, value) }]);
  const size = xs.values.length * ys.values.length;
  const grids: Image<3>[] = [];
  for (let i = 0; i < zs.values.length; i++) {
    const own = cells.slice(i * size, (i + 1) * size);
    grids.push(
      legend
        ? await legendGrid(own, { columns: lines(xs), rows: lines(ys), margin }, font)
        : plainGrid(own, xs.values.length),
    );
  }
  const whole = legend
    ? await legendGrid(grids, { columns: lines(zs), rows: [[{ text: '' }]] }, font)
    : plainGrid(grids, grids.length);
  return [whole, ...grids];
}

/** What the infotext of a grid says of its axes. */
function axisLines({ chosen, settings }: Plot, count: number): Record<string, string> {
  const lines: Record<string, string> = { Script: 'X/Y/Z plot' };
  for (const [i, { axis, text, values }] of chosen.slice(0, count).entries()) {
    if (axis.label === 'Nothing') continue;
    lines[`${letters[i]} Type`] = axis.label;
    lines[`${letters[i]} Values`] = text;
    if (!settings.keepsSeeds && ['Seed', 'Var. seed'].includes(axis.label))
      lines[`Fixed ${letters[i]} Values`] = values.join(', ');
  }
  return lines;
}

async function run(call: ScriptCall): Promise<Answer> {
  const settings = settingsOf(call.args);
  const axis = async (first: number): Promise<Chosen> =>
    withDrawnSeeds(await chosenAxis(call.args, first, call.isImageToImage, settings.isText), call, settings);
  const chosen = [await axis(0), await axis(3), await axis(6)] as const;
  const count = chosen.reduce((product, { values }) => product * values.length, 1);
  if (count > call.context.limits.scriptPictures)
    throw new StableDiffusionError(
      'too-large',
      `The plot has ${count} cells; ensure that there are at most ${call.context.limits.scriptPictures}.`,
    );
  const plot: Plot = { call, chosen, settings };
  const bodies = await atField(['body', 'script_args'], async () => cellsOf(plot));
  const requests = await decideAll(call, await Promise.all(bodies.map(call.draftOf)));
  const order = orderOf(chosen);
  const inOrder = await makeAll(
    call,
    order.map((i) => requests[i] as (typeof requests)[number]),
  );
  const made = bodies.map((_, i) => inOrder[order.indexOf(i)]);
  const like = firstMade(made);
  const [whole, ...grids] = await gridsOf(await Promise.all(made.map((job) => pictureOf(call, job))), plot);
  const shown: Shown[] = whole ? [await composed(whole, like, axisLines(plot, 3))] : [];
  if (settings.subGrids) for (const grid of grids) shown.push(await composed(grid, like, axisLines(plot, 2)));
  const first = shown.length;
  if (settings.loneImages) shown.push(...(await shownOf(call, made)));
  return answerScript(call, like, shown, first);
}

export const plotScript: Script = { title: 'X/Y/Z plot', tasks: ['txt2img', 'img2img'], args: argumentsOf, run };
