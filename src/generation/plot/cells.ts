/** The requests of a plot: a request with the values of one to three axes put into it, and the legend of the grid. */

import { fieldsOf } from '../../arguments.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { TaskOptions } from '../inputs.ts';
import { type Axis, axesOf, axisLegend, axisSize, orderedPrompt, replacedPrompts } from './axes.ts';
import { type AxisValue, axisValues, csvCells } from './axis-values.ts';
import { promptMatrix } from './matrix.ts';

/** An axis by A1111's name, and its values as A1111 writes them: `4-8 (+2)`, `1-10 [5]`, `a, b`. */
export interface PlotAxis {
  readonly label: string;
  readonly values: string;
}

export interface Plot {
  /** Grid by grid, row by row. */
  readonly cells: readonly TaskOptions[];
  /** The file of each cell's model, by the axis Checkpoint name; undefined where no axis names one. */
  readonly checkpoints: readonly (string | undefined)[];
  readonly columns: readonly string[];
  readonly rows: readonly string[];
  /** One for each grid along z. */
  readonly grids: readonly string[];
}

const mostCells = 4096;

function refuse(message: string): never {
  throw new StableDiffusionError('invalid-argument', message);
}

/** The axis whose values are models, not fields of a request. */
const checkpointAxis = 'Checkpoint name';

interface Chosen {
  readonly axis: Axis;
  readonly values: readonly AxisValue[];
}

function chosenAxis(given: PlotAxis | undefined, task: 'txt2img' | 'img2img'): Chosen {
  const known = axesOf(task);
  const name = (given?.label ?? 'Nothing').toLowerCase();
  const axis = known.find(({ label }) => label.toLowerCase() === name);
  const isUsable = ({ request, label }: Axis): boolean =>
    label === checkpointAxis || (request !== undefined && !(request === 'strength' && task === 'txt2img'));
  const usable = known.filter(isUsable).map(({ label }) => label);
  if (!axis) refuse(`There is no axis ${given?.label}. The axes are ${usable.join(', ')}.`);
  if (axis.label === 'Nothing') return { axis, values: [0] };
  if (axis.request === 'strength' && task === 'txt2img') refuse('The axis Denoising needs an initial image.');
  if (!isUsable(axis)) refuse(`The axis ${axis.label} is not supported here. The axes are ${usable.join(', ')}.`);
  const values = axisValues(csvCells(given?.values ?? ''), axis.kind);
  if (values.length === 0) refuse(`The axis ${axis.label} needs values.`);
  return { axis, values };
}

/** The options with a value at a path of names. */
function withField(options: object, [name = '', ...rest]: readonly string[], value: unknown): object {
  const inside = (options as Readonly<Record<string, unknown>>)[name];
  return { ...options, [name]: rest.length === 0 ? value : withField((inside ?? {}) as object, rest, value) };
}

function withValue(options: TaskOptions, { axis, values }: Chosen, value: AxisValue): TaskOptions {
  const { prompt = '', negativePrompt: negative = '' } = options;
  if (axis.label === 'Nothing' || axis.label === checkpointAxis) return options;
  if (axis.label === 'Size') return { ...options, ...axisSize(value) };
  if (axis.label.startsWith('Prompt')) {
    if (typeof prompt !== 'string' || typeof negative !== 'string')
      refuse(`The axis ${axis.label} needs a single prompt.`);
    if (axis.label === 'Prompt order') return { ...options, prompt: orderedPrompt(prompt, value as readonly string[]) };
    const replaced = replacedPrompts({ prompt, negative }, String(value), String(values[0]));
    return { ...options, prompt: replaced.prompt, negativePrompt: replaced.negative };
  }
  return withField(options, (axis.request ?? '').split('.'), value) as TaskOptions;
}

/** The cells of a plot along x, y and z. Throws `invalid-argument`, `too-large`. */
export function plotCells(options: TaskOptions, x: PlotAxis | undefined, y?: PlotAxis, z?: PlotAxis): Plot {
  fieldsOf(options, 'The options of a plot', 'those of a run');
  const task = options.task === 'txt2img' ? 'txt2img' : 'img2img';
  const axes = [z, y, x].map((axis) => chosenAxis(axis, task)) as [Chosen, Chosen, Chosen];
  const [zs, ys, xs] = axes;
  const count = xs.values.length * ys.values.length * zs.values.length;
  if (count > mostCells)
    throw new StableDiffusionError('too-large', `The plot has ${count} cells, more than ${mostCells}.`);
  const places = zs.values.flatMap((grid) =>
    ys.values.flatMap((row) => xs.values.map((column) => [grid, row, column] as const)),
  );
  const models = axes.findIndex(({ axis }) => axis.label === checkpointAxis);
  const legend = ({ axis, values }: Chosen): string[] => values.map((value) => axisLegend(axis, value));
  return {
    // The values along x are put in first.
    cells: places.map((values) =>
      [2, 1, 0].reduce((made, i) => withValue(made, axes[i] as Chosen, values[i] as AxisValue), options),
    ),
    checkpoints: places.map((values) => (models < 0 ? undefined : String(values[models]))),
    columns: legend(xs),
    rows: legend(ys),
    grids: legend(zs),
  };
}

/** The cells of A1111's prompt matrix, and the parts of its legend (`matrixLegend`). Throws `invalid-argument`, `too-large`. */
export function matrixCells(options: TaskOptions): {
  readonly cells: readonly TaskOptions[];
  readonly parts: readonly string[];
} {
  fieldsOf(options, 'The options of a prompt matrix', 'those of a run');
  const { prompt = '' } = options;
  if (typeof prompt !== 'string') refuse('A prompt matrix needs a single prompt.');
  const { prompts, parts } = promptMatrix(prompt);
  return { cells: prompts.map((one) => ({ ...options, prompt: one })), parts };
}
