/** Files that workflows write, by ComfyUI's server: names by patterns of prefixes, texts in pictures, latents. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { collecting, type Comparisons } from '../comparisons.ts';
import { startComfyServer } from '../comfyui/comfy-server.ts';
import type { Graph } from '../comfyui/graphs.ts';
import { differenceFrom } from '../comfyui/masked.ts';
import { Session } from '../comfyui/session.ts';
import type { SocketMessage } from '../comfyui/socket-client.ts';
import { readPngText } from '../../../src/image/metadata/png-text.ts';
import type { Reader, RecordedCase } from '../reader.ts';

interface RecordedFiles {
  readonly 'PNG chunks': readonly (readonly [name: string, bytes: number | string])[];
  readonly 'PNG text': { readonly prompt: string; readonly workflow: string };
  readonly 'workflow sent': unknown;
  readonly 'latent file': { readonly name: string; readonly header: Readonly<Record<string, unknown>> };
  readonly [prefix: string]: unknown;
}

export const reader: Reader = {
  set: 'comfyui',
  reads: (row, part) =>
    part === 'protocol' && /numbering and patterns of filename_prefix/.test(String(row['exercises'])),
  compare: collecting(compareFiles),
};

async function compareFiles(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const values = JSON.parse(
    readFileSync(join(recorded.folder, String(recorded.row['values'])), 'utf8'),
  ) as RecordedFiles;
  const models = new Map([['checkpoints', [{ name: 'sd1.safetensors' }]]]);
  const server = await startComfyServer({ setFolder: recorded.setFolder, models });
  try {
    const session = await Session.open(server, 'parity');
    const base = JSON.parse(values['PNG text'].prompt) as Graph;
    const more = { extra_data: { extra_pnginfo: { workflow: values['workflow sent'] } } };
    const entries = Object.entries(values).filter(([name]) => /^\d+: /.test(name));
    for (const [name, want] of entries) {
      const { messages } = await session.run(withPrefix(base, name), more);
      compareOutput(name, messages, want, compare);
      if (name === entries[0]?.[0]) await compareTexts(server.url, messages, values, compare);
    }
    const { messages } = await session.run(asPreview(base));
    compareOutput('PreviewImage', messages, values['PreviewImage'], compare);
    await compareLatent(session, values['latent file'], compare);
    session.client.close();
  } finally {
    await server.stop();
  }
}

/** The graph for an entry `1: num`: its prefix, and from the second on a picture of its own, so that nothing is kept from before. */
function withPrefix(base: Graph, entry: string): Graph {
  const [, number = '0', prefix = ''] = /^(\d+): (.*)$/.exec(entry) ?? [];
  return Object.fromEntries(
    Object.entries(base).map(([id, node]) => [
      id,
      node.class_type === 'SaveImage'
        ? { ...node, inputs: { ...node.inputs, filename_prefix: prefix } }
        : 'color' in node.inputs && number !== '0'
          ? { ...node, inputs: { ...node.inputs, color: Number(number) } }
          : node,
    ]),
  );
}

function asPreview(base: Graph): Graph {
  return Object.fromEntries(
    Object.entries(base).map(([id, node]) => [
      id,
      node.class_type === 'SaveImage'
        ? { class_type: 'PreviewImage', inputs: { images: node.inputs['images'] } }
        : node,
    ]),
  );
}

const dataOf = (messages: readonly SocketMessage[], type: string): Record<string, unknown> | undefined =>
  messages.flatMap((message) => ('type' in message && message.type === type ? [message.data] : []))[0];

/** Names of files, or that the prefix was refused with ComfyUI's first words. */
function compareOutput(name: string, messages: readonly SocketMessage[], want: unknown, compare: Comparisons): void {
  const executed = dataOf(messages, 'executed');
  if (typeof want === 'object' && want !== null && 'error' in want) {
    const words = /Saving image outside the output folder is not allowed/;
    const message = String(dataOf(messages, 'execution_error')?.['exception_message']);
    compare.exact(`${name}: refused`, words.test(message), words.test(String(want.error)));
    return;
  }
  const got = executed && { [String(executed['node'])]: executed['output'] };
  compare.exact(name, differenceFrom(got, want, new Map()), undefined);
}

async function pictureOf(url: string, messages: readonly SocketMessage[]): Promise<Uint8Array> {
  const output = dataOf(messages, 'executed')?.['output'] as { images: Record<string, string>[] };
  const query = new URLSearchParams(output.images[0]);
  return new Uint8Array(await (await fetch(`${url}/view?${query}`)).arrayBuffer());
}

/** Chunks in order, with the lengths of those that are not compressed; texts as they are. */
async function compareTexts(
  url: string,
  messages: readonly SocketMessage[],
  { 'PNG chunks': wanted, 'PNG text': texts }: RecordedFiles,
  compare: Comparisons,
): Promise<void> {
  const bytes = await pictureOf(url, messages);
  const view = new DataView(bytes.buffer);
  const chunks: [string, number][] = [];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at))
    chunks.push([Buffer.from(bytes.subarray(at + 4, at + 8)).toString('latin1'), view.getUint32(at)]);
  const measured = chunks.map(([name, length]) => [name, name === 'IDAT' ? '<n>' : length]);
  compare.exact('PNG chunks', measured, wanted);
  compare.exact('PNG text', Object.fromEntries(readPngText(bytes).texts), texts);
}

/** The header of a safetensors file of latents. */
async function compareLatent(
  session: Session,
  { name, header }: RecordedFiles['latent file'],
  compare: Comparisons,
): Promise<void> {
  const metadata = header['__metadata__'] as { prompt: string };
  const { messages } = await session.run(JSON.parse(metadata.prompt) as Graph);
  const output = dataOf(messages, 'executed')?.['output'] as { latents: Record<string, string>[] } | undefined;
  compare.exact('latent file: name', output?.latents[0]?.['filename'], name);
  const query = new URLSearchParams(output?.latents[0]);
  const bytes = Buffer.from(await (await fetch(`${session.url}/view?${query}`)).arrayBuffer());
  const length = Number(bytes.readBigUInt64LE(0));
  const got = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8')) as unknown;
  compare.exact('latent file: header', differenceFrom(got, header, new Map()), undefined);
}
