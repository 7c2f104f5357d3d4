/** A1111's scripts "Prompt matrix" and "Prompts from file or textbox" (scripts/prompt_matrix.py, scripts/prompts_from_file.py, v1.10.1). */

import { StableDiffusionError } from '../../../../errors.ts';
import { shellWords } from '../../../../generation/plot/shell-words.ts';
import { promptMatrix } from '../../../../generation/plot/matrix.ts';
import { legendGrid, matrixLegend } from '../../../../image/grid-legend.ts';
import { legendFont } from '../../../../image/legend-font-node.ts';
import { atField } from '../../../http/problem.ts';
import type { Answer } from '../../../http/route.ts';
import { answerScript, composed, decideAll, firstMade, fixedSeeds, makeAll, pictureOf, shownOf } from './cells.ts';
import type { Body, Script, ScriptCall } from './script.ts';

async function runMatrix(call: ScriptCall): Promise<Answer> {
  const { args } = call;
  const [atStart, ownSeeds, margin] = [args.flag(0), args.flag(1), args.whole(4)];
  const field = args.choice(2) === 'positive' ? 'prompt' : 'negative_prompt';
  const body = fixedSeeds(call, call.body);
  const delimiter = args.choice(3) === 'comma' ? ', ' : ' ';
  const { prompts, parts } = await atField(['body', field], async () =>
    promptMatrix(body[field] ?? '', { atStart, delimiter }),
  );
  const bodies = prompts.map(
    (prompt, i): Body => ({
      ...body,
      [field]: prompt,
      seed: ownSeeds ? Number(body.seed) + i : body.seed,
      batch_size: 1,
      n_iter: 1,
    }),
  );
  const made = await makeAll(call, await decideAll(call, await Promise.all(bodies.map(call.draftOf))));
  const like = firstMade(made);
  const cells = await Promise.all(made.map((job) => pictureOf(call, job)));
  const grid = await legendGrid(cells, { ...matrixLegend(parts), margin }, legendFont);
  return answerScript(call, like, [await composed(grid, like), ...(await shownOf(call, made))], 1);
}

export const matrixScript: Script = {
  title: 'Prompt matrix',
  tasks: ['txt2img', 'img2img'],
  args: () => [
    { label: 'Put variable parts at start of prompt', value: false },
    { label: 'Use different seed for each picture', value: false },
    { label: 'Select prompt', value: 'positive', choices: ['positive', 'negative'] },
    { label: 'Select joining char', value: 'comma', choices: ['comma', 'space'] },
    { label: 'Grid margins (px)', value: 0, minimum: 0, maximum: 500, step: 2 },
  ],
  run: runMatrix,
};

type Read = (text: string) => unknown;
const [asText, asNumber]: [Read, Read] = [(text) => text, (text) => Number(text)];
const asFlag: Read = (text) => text === 'true';

/** Options of a line, and how each is read. */
const lineOptions: Readonly<Record<string, Read>> = {
  prompt: asText,
  negative_prompt: asText,
  sd_model: asText,
  styles: (text) => [text],
  seed: asNumber,
  subseed: asNumber,
  subseed_strength: asNumber,
  seed_resize_from_h: asNumber,
  seed_resize_from_w: asNumber,
  sampler_name: asText,
  batch_size: asNumber,
  n_iter: asNumber,
  steps: asNumber,
  cfg_scale: asNumber,
  width: asNumber,
  height: asNumber,
  restore_faces: asFlag,
  tiling: asFlag,
};
/** Places of files, which this server chooses itself. */
const ignored = new Set([
  'outpath_samples',
  'outpath_grids',
  'prompt_for_display',
  'do_not_save_samples',
  'do_not_save_grid',
]);

/** A line of options, such as `--prompt "a cat" --steps 10`; any other line is a prompt, as in A1111. */
function lineSettings(line: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const words = line.includes('--') ? shellWords(line) : undefined;
  if (!words) return { prompt: line };
  for (let i = 0; i < words.length; ) {
    const name = (words[i] ?? '').slice(2);
    const read = Object.hasOwn(lineOptions, name) ? lineOptions[name] : undefined;
    if (!words[i]?.startsWith('--') || words[i + 1] === undefined || (!read && !ignored.has(name)))
      return { prompt: line };
    let end = i + 2;
    const isPrompt = name === 'prompt' || name === 'negative_prompt';
    while (isPrompt && end < words.length && !words[end]?.startsWith('--')) end++;
    if (read) found[name] = read(words.slice(i + 1, end).join(' '));
    i = end;
  }
  return found;
}

/** A line's request: its settings over the caller's, with the caller's prompts before or after its own. */
function bodyOfLine(body: Body, line: string, position: string): Body {
  const { sd_model: model, ...own } = lineSettings(line);
  const joined = (field: 'prompt' | 'negative_prompt'): object => {
    const [mine, theirs] = [own[field], body[field]];
    if (typeof mine !== 'string' || mine === '' || !theirs) return {};
    return { [field]: position === 'start' ? `${mine} ${theirs}` : `${theirs} ${mine}` };
  };
  const settings =
    model === undefined ? {} : { override_settings: { ...body.override_settings, sd_model_checkpoint: model } };
  return { ...body, ...own, ...joined('prompt'), ...joined('negative_prompt'), ...settings };
}

async function runLines(call: ScriptCall): Promise<Answer> {
  const { args } = call;
  const [iterates, isSame, position] = [args.flag(0), args.flag(1), args.choice(2)];
  const lines = args
    .text(3)
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim())
    .filter(Boolean);
  if (lines.length === 0) args.refuse(3, 'it needs one prompt or more');
  if (lines.length > call.context.limits.scriptPictures)
    args.refuse(3, `ensure that it has at most ${call.context.limits.scriptPictures} lines`);
  const base = iterates || isSame ? fixedSeeds(call, call.body) : call.body;
  const step = Math.max(1, base.batch_size ?? 1) * Math.max(1, base.n_iter ?? 1);
  const bodies = lines.map((line, i) =>
    bodyOfLine(iterates ? { ...base, seed: Number(base.seed) + i * step } : base, line, position),
  );
  for (const [i, { steps, width, height, batch_size: batch }] of bodies.entries())
    if ([steps, width, height, batch].some((value) => Number.isNaN(Number(value ?? 1))))
      throw new StableDiffusionError('invalid-argument', `Line ${i + 1} has an option whose value is not a number.`, {
        details: { where: ['body', 'script_args', 3] },
      });
  const made = await makeAll(call, await decideAll(call, await Promise.all(bodies.map(call.draftOf))));
  return answerScript(call, firstMade(made), await shownOf(call, made), 0);
}

export const linesScript: Script = {
  title: 'Prompts from file or textbox',
  tasks: ['txt2img', 'img2img'],
  args: () => [
    { label: 'Iterate seed every line', value: false },
    { label: 'Use same random seed for all lines', value: false },
    { label: 'Insert prompts at the', value: 'start', choices: ['start', 'end'] },
    { label: 'List of prompt inputs', value: '' },
  ],
  run: runLines,
};
