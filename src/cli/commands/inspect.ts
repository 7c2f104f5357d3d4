/** `sd inspect`: shows what a weights file contains and whether it would load, and the settings in a picture. */

import { defineCommand, type TextOutput } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import type { Inspection, PartReport } from '../inspection.ts';
import { excluding } from '../needed-options.ts';
import { flag, text, UsageError } from '../options.ts';
import type { PictureInfo } from '../picture-info.ts';

const options = {
  config: text(
    ['--config'],
    'FILE',
    'YAML or config.json to compare with (default: FILE.yaml next to FILE.safetensors, else inferred from names and shapes)',
  ),
  ema: flag(['--ema'], 'use the averaged (EMA) weights'),
  verify: flag(['--verify'], 'read every tensor, even in files above 512 MiB'),
  quick: excluding(flag(['--quick'], 'read only the header'), '--verify'),
  quantised: flag(
    ['--quantised'],
    'show what --precision int8 does to each layer: in 8 bits or not and why, error of its weights, size',
  ),
  json: flag(['--json'], 'print one JSON object: the report, or an error with code and message'),
};

const scaled = (value: number): string => {
  for (const [unit, size] of [
    ['T', 1e12],
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const)
    if (value >= size) return `${(value / size).toPrecision(4)} ${unit}`;
  return `${value} `;
};

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, number]) => `${number} ${name}`)
    .join(', ');

function printNames(out: TextOutput, what: string, names: readonly string[]): void {
  if (names.length === 0) return;
  out.write(
    `    ${what}: ${names.slice(0, 8).join(', ')}${names.length > 8 ? `, and ${names.length - 8} more` : ''}\n`,
  );
}

function printPart(out: TextOutput, part: PartReport): void {
  const flops = Object.entries(part.flops)
    .map(([graph, value]) => `${graph} ${scaled(value)}FLOP`)
    .join(', ');
  out.write(
    `  ${part.name}: ${part.network}, ${scaled(part.parameters)}parameters (${listed(part.dtypes)})${flops ? `; ${flops}` : ''}\n`,
  );
  printNames(out, 'missing', part.missing);
  printNames(out, 'unexpected', part.unexpected);
  printNames(
    out,
    'misshapen',
    part.misshapen.map(
      ({ name, found, expected }) => `${name} [${found.join(', ')}] instead of [${expected.join(', ')}]`,
    ),
  );
  printNames(out, 'passed over', part.ignored);
}

function print(out: TextOutput, found: Inspection): void {
  const { layout, task, ema } = found;
  const what = [
    found.kind,
    layout === undefined ? undefined : `${layout} layout`,
    task === undefined ? undefined : `for ${task}`,
  ]
    .filter((word) => word !== undefined)
    .join(', ');
  out.write(
    `${found.path}\n  ${found.format}, ${what}: ${found.tensors} tensors, ${scaled(found.parameters)}parameters, ${scaled(found.bytes)}B (${listed(found.dtypes)})\n`,
  );
  for (const part of found.parts) printPart(out, part);
  if (ema !== undefined) out.write(`  averaged weights: ${ema}${ema === 'available' ? ' (--ema)' : ''}\n`);
  printNames(out, 'not part of any network', found.unused);
  for (const phrase of found.assumed) out.write(`  assumed: ${phrase}\n`);
  for (const [name, value] of Object.entries(found.metadata)) {
    const shown = typeof value === 'string' ? value : JSON.stringify(value);
    out.write(`  ${name}: ${shown.length > 100 ? `${shown.slice(0, 100)}…` : shown}\n`);
  }
  if (found.note !== undefined) out.write(`  no known network: ${found.note}\n`);
  if (found.family) {
    out.write(`  This is ${found.family.name}. ${found.family.advice}\n`);
    if (found.kind === 'tensors') {
      out.write('  it does NOT load as a model\n');
      return;
    }
  }
  if (found.problem !== undefined) out.write(`  it does NOT load: ${found.problem}\n`);
  else if (found.kind === 'tensors') out.write('  it can be read; it is not a model\n');
  else
    out.write(
      found.loads
        ? `  it loads${found.verified ? '' : ' (header read; --verify reads every tensor)'}\n`
        : '  it does NOT load: the networks differ as listed above\n',
    );
}

function printPicture(out: TextOutput, { path, format, width, height, parameters, record, texts }: PictureInfo): void {
  out.write(`${path}\n  ${format.toUpperCase()} picture, ${width} x ${height} pixels\n`);
  if (parameters !== undefined) out.write(`${parameters.replace(/^/gm, '  ')}\n`);
  for (const [name, value] of Object.entries(texts))
    out.write(`  ${name}: ${value.length > 300 ? `${value.slice(0, 300)}…` : value}\n`);
  if (record !== undefined) out.write(`  To make it again: sd replay ${path}\n`);
  if (parameters === undefined && record === undefined && Object.keys(texts).length === 0)
    out.write('  it holds no settings\n');
}

function errorOf(path: string, { family, problem }: Inspection): { readonly code: string; readonly message: string } {
  if (family && !family.isSupported)
    return { code: 'model-unknown', message: `${path} is ${family.name}. ${family.advice}` };
  return { code: 'weights-mismatch', message: problem ?? `${path} does not fit its networks.` };
}

export const inspect = defineCommand({
  description:
    'Shows what a weights file contains: format, layout, networks, parameters, and what is missing; of a picture, the settings in it. The exit code is 0 if the file would load or holds only tensors of no known kind, 1 if it would not load, and 3 if it is of a known kind that is not a model of this program, such as Flux. Code in pickled files is never executed.',
  words: '<file>',
  options,
  examples: [
    'sd inspect sd-v1-4.ckpt',
    'sd inspect stable-diffusion-v1-5/',
    'sd inspect lora.safetensors --json',
    'sd inspect --quantised sd-v1-4.ckpt',
    'sd inspect picture.png',
  ],
  async run(context, [path = ''], values) {
    const picture = await (await import('../picture-info.ts')).pictureInfo(path).catch(() => undefined);
    if (picture) {
      if (values.json) context.out.write(`${JSON.stringify(picture)}\n`);
      else printPicture(context.out, picture);
      return exitCodes.ok;
    }
    const { inspectFile } = await import('../inspection.ts');
    const found = await inspectFile(path, {
      signal: context.signal,
      config: values.config,
      quantised: values.quantised,
      ...(values.ema ? { ema: true } : {}),
      ...(values.verify ? { verify: true } : values.quick ? { verify: false } : {}),
    });
    if (values.json) {
      const error = found.loads ? {} : { error: errorOf(path, found) };
      context.out.write(`${JSON.stringify({ ...error, ...found })}\n`);
    } else {
      print(context.out, found);
      const { printQuantised } = await import('../quantised-report.ts');
      if (found.quantised) printQuantised(context.out, found.quantised);
    }
    if (values.quantised && !found.quantised?.length)
      throw new UsageError(`${path} has no network whose layers could be in int8: --quantised shows those of a model.`);
    if (found.family && (!found.family.isSupported || found.kind === 'tensors')) return exitCodes.notAModel;
    return found.loads ? exitCodes.ok : exitCodes.failure;
  },
});
