/** `sd plot`: a grid of pictures whose settings change along its columns and rows (A1111's X/Y/Z plot and prompt matrix). */

import { type CliContext, defineCommand } from '../command.ts';
import { classifierOption, modelOptions, refinerOption } from '../generation-options.ts';
import { loadNamedModel, takeLoras } from '../generation.ts';
import { needing } from '../needed-options.ts';
import { flag, type Option, type OptionValues, text, UsageError } from '../options.ts';
import { createProgress } from '../progress.ts';
import { readPrompts } from '../prompts.ts';
import { requestFlags, requestValues, strengthFlags } from '../request-flags.ts';
import { openRunModels, type RunModels } from '../run-models.ts';
import type { GeneratedImage } from '../../pipelines/events.ts';
import type { TaskOptions } from '../../generation/inputs.ts';
import type { PlotAxis } from '../../generation/plot/cells.ts';
import type { Legend } from '../../image/grid-legend.ts';
import type { Image } from '../../image/image.ts';

function axisOption(name: string, where: string): Option<PlotAxis | undefined> {
  return {
    flags: [name],
    value: 'NAME=VALUES',
    description: `what changes ${where}, by A1111's names: "Steps=10,20", "CFG Scale=4-8 (+2)", "Seed=1-10 [5]", "Prompt S/R=red, blue", "Checkpoint name=a.ckpt, b.ckpt"`,
    parse: (given) => {
      const equals = given.indexOf('=');
      if (equals < 1) throw new UsageError(`must be NAME=VALUES, such as Steps=10,20; got ${JSON.stringify(given)}.`);
      return { label: given.slice(0, equals).trim(), values: given.slice(equals + 1) };
    },
  };
}

const options = {
  x: axisOption('--x', 'from column to column'),
  y: axisOption('--y', 'from row to row'),
  z: axisOption('--z', 'from grid to grid'),
  matrix: flag(['--matrix'], 'a picture for every combination of the parts of the prompt after its first |'),
  init: text(['--init-img', '-i', '--image'], 'FILE', 'initial image, for image to image'),
  prompt: text(['--prompt'], 'TEXT', 'the prompt, if it is not given as words'),
  ...refinerOption,
  ...classifierOption,
  ...strengthFlags,
  ...requestFlags,
  output: text(['--output', '-o'], 'FILE', 'file for the grid (default: outputs/plot.png)'),
  outdir: text(['--outdir'], 'FOLDER', 'folder for the single pictures too: 00000.png, …'),
  noLegend: flag(['--no-legend'], 'leave the legend out'),
  taesd: needing(text(['--taesd'], 'FILE', 'TAESD weights, for --decoder taesd'), '--decoder taesd'),
  force: flag(['--force'], 'replace files that exist (default: they are left, and it is an error)'),
  json: flag(['--json'], 'print one line of JSON for the grid'),
  quiet: flag(['--quiet', '-q'], 'do not show progress'),
  ...modelOptions,
};

export const plot = defineCommand({
  description:
    "Makes a grid of pictures whose settings change along its columns and rows, as A1111's X/Y/Z plot, or a prompt matrix.",
  words: '[prompt...]',
  options,
  examples: [
    'sd plot "red apple" --x "Steps=5,10,20" --y "CFG Scale=2-8 [3]" -o grid.png',
    'sd plot "red heart" --x "Prompt S/R=red, blue, green" --y "Seed=1-3"',
    'sd plot "a house" --x "Checkpoint name=a.safetensors, b.safetensors" --y "Seed=1-3" --z "Steps=10,20"',
    'sd plot "a face|smiling|blue" --matrix',
  ],
  async run(context, words, values) {
    if (values.matrix === ((values.x ?? values.y ?? values.z) !== undefined))
      throw new UsageError('Give --x, --y or --z, or --matrix.');
    checkRefiner(values);
    const { checkFree } = await import('../../files/write-file-node.ts');
    const { openImage, saveImage } = await import('../../pipelines/image-files-node.ts');
    const output = values.output ?? 'outputs/plot.png';
    await checkFree(output, values.force);
    const read = await readPrompts({ prompt: values.prompt, fromFile: undefined }, words, context);
    const { prompts, loras } = await takeLoras(read, values, context);
    const image = values.init === undefined ? undefined : await openImage(values.init);
    const base = {
      ...requestValues(options, values),
      task: image ? 'img2img' : 'txt2img',
      prompt: prompts.lines[0] ?? '',
      image,
      signal: context.signal,
    } as TaskOptions;
    const drawn = await drawnPlot(base, values);
    const { cells } = drawn;
    const { splitOptions } = await import('../../generation/split-options.ts');
    for (const cell of cells) splitOptions(cell);
    const files =
      values.outdir === undefined ? [] : cells.map((_, i) => `${values.outdir}/${String(i).padStart(5, '0')}.png`);
    for (const file of files) await checkFree(file, values.force);
    const progress = createProgress(context.err, context.now, values.quiet || values.json);
    progress.stage('loading');
    const made: (Image<3> | undefined)[] = cells.map(() => undefined);
    try {
      for (const checkpoint of new Set(drawn.checkpoints)) {
        const own = checkpoint === undefined ? values : { ...values, model: checkpoint };
        const mine = [...cells.keys()].filter((i) => drawn.checkpoints[i] === checkpoint);
        await withModel(context, own, loras, async (make) => {
          for (const i of mine) {
            progress.stage(`picture ${i + 1} of ${cells.length}`);
            const first = await make(cells[i] as TaskOptions);
            if (!first) continue;
            made[i] = first.image;
            const file = files[i];
            if (file !== undefined) await saveImage(file, first, { replace: values.force });
          }
        });
      }
      const count = made.filter((one) => one !== undefined).length;
      await saveGrid(output, made, drawn, values);
      if (values.json) context.out.write(`${JSON.stringify({ file: output, pictures: count })}\n`);
      else context.out.write(`${output}\n`);
      return 0;
    } finally {
      progress.clear();
    }
  },
});

type Values = OptionValues<typeof options>;

/** What is drawn: its cells, the model of each, and the legends of a grid and of the grids. */
interface DrawnPlot {
  readonly cells: readonly TaskOptions[];
  readonly checkpoints: readonly (string | undefined)[];
  readonly legend: Legend;
  readonly grids: readonly string[];
}

const lineOf = (label: string): Legend['rows'][number] => [{ text: label }];

async function drawnPlot(base: TaskOptions, { matrix, x, y, z }: Values): Promise<DrawnPlot> {
  const { matrixCells, plotCells } = await import('../../generation/plot/cells.ts');
  if (!matrix) {
    const { columns, rows, ...made } = plotCells(base, x, y, z);
    return { ...made, legend: { columns: columns.map(lineOf), rows: rows.map(lineOf) } };
  }
  const { matrixLegend } = await import('../../image/grid-legend.ts');
  const { cells, parts } = matrixCells(base);
  return { cells, checkpoints: cells.map(() => undefined), legend: matrixLegend(parts), grids: [''] };
}

/** Loads a model, and gives what makes a cell's picture of it. */
async function withModel(
  context: CliContext,
  values: Values,
  loras: Awaited<ReturnType<typeof takeLoras>>['loras'],
  work: (make: (cell: TaskOptions) => Promise<GeneratedImage | undefined>) => Promise<void>,
): Promise<void> {
  const model = await loadNamedModel(context, { ...values, loras });
  let others: RunModels | undefined;
  try {
    others = await openRunModels(context, values, model, values);
    const second = {
      ...(others.refiner ? { refiner: others.refiner } : {}),
      ...(others.classifier ? { classifier: others.classifier } : {}),
    };
    const { pictures } = await import('../../pipelines/pictures.ts');
    const { generate } = await import('../../pipelines/generate.ts');
    await work(async (cell) => (await pictures(generate(model, { ...cell, ...second } as TaskOptions)))[0]);
  } finally {
    await others?.[Symbol.asyncDispose]();
    await model.dispose();
  }
}

/** Refuses axes of a refiner without one. */
function checkRefiner(values: {
  readonly refiner: string | undefined;
  readonly x: PlotAxis | undefined;
  readonly y: PlotAxis | undefined;
  readonly z: PlotAxis | undefined;
}): void {
  if (values.refiner !== undefined) return;
  for (const [name, axis] of [
    ['--x', values.x],
    ['--y', values.y],
    ['--z', values.z],
  ] as const)
    if (axis?.label.toLowerCase() === 'refiner switch at')
      throw new UsageError(`${name}: the axis Refiner switch at needs a refiner. Give one with --refiner.`);
}

async function saveGrid(
  output: string,
  cells: readonly (Image<3> | undefined)[],
  { legend, grids }: DrawnPlot,
  { noLegend, force }: { readonly noLegend: boolean; readonly force: boolean },
): Promise<void> {
  const { legendGrid, plainGrid } = await import('../../image/grid-legend.ts');
  const { legendFont } = await import('../../image/legend-font-node.ts');
  const { saveImageFile } = await import('../../pipelines/image-files-node.ts');
  const draw = (some: readonly (Image<3> | undefined)[], its: Legend): Image<3> | Promise<Image<3>> =>
    noLegend ? plainGrid(some, its.columns.length) : legendGrid(some, its, legendFont);
  const size = cells.length / grids.length;
  const made: Image<3>[] = [];
  for (const i of grids.keys()) made.push(await draw(cells.slice(i * size, (i + 1) * size), legend));
  const grid =
    grids.length === 1 ? (made[0] as Image<3>) : await draw(made, { columns: grids.map(lineOf), rows: [lineOf('')] });
  await saveImageFile(output, grid, { replace: force });
}
