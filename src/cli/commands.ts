/** Every command of the CLI: one file in commands/ and one line here. Loaded when it is called, so that each starts as fast as it can. */

import type { CommandEntry } from './command.ts';

export const commands: readonly CommandEntry[] = [
  {
    name: 'txt2img',
    summary: 'make pictures of a prompt',
    load: async () => (await import('./commands/txt2img.ts')).txt2img,
  },
  {
    name: 'img2img',
    summary: 'make pictures that begin from one',
    load: async () => (await import('./commands/img2img.ts')).img2img,
  },
  {
    name: 'inpaint',
    summary: 'make a part of a picture anew',
    load: async () => (await import('./commands/inpaint.ts')).inpaintCommand,
  },
  {
    name: 'replay',
    summary: 'make a picture again from the settings in its file',
    load: async () => (await import('./commands/replay.ts')).replay,
  },
  {
    name: 'inspect',
    summary: 'say what a file of weights holds and whether it would load',
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  {
    name: 'convert',
    summary: 'write weights in another layout or element type',
    load: async () => (await import('./commands/convert.ts')).convertCommand,
  },
  {
    name: 'tokenize',
    summary: 'turn texts into token ids',
    load: async () => (await import('./commands/tokenize.ts')).tokenize,
  },
  {
    name: 'forward',
    summary: 'run one network on tensors from a file',
    load: async () => (await import('./commands/forward.ts')).forwardCommand,
  },
  {
    name: 'train',
    summary: 'train autoencoders, diffusion models and adapters',
    load: async () => (await import('./commands/train.ts')).trainCommand,
  },
  {
    name: 'eval',
    summary: 'measure pictures, autoencoders and models',
    load: async () => (await import('./commands/eval.ts')).evalCommand,
  },
  {
    name: 'serve',
    summary: "serve A1111's API, OpenAI's images API and a page",
    load: async () => (await import('./commands/serve.ts')).serve,
  },
  {
    name: 'worker',
    summary: 'make pictures for servers, by Redis',
    load: async () => (await import('./commands/worker.ts')).worker,
  },
  {
    name: 'completion',
    summary: 'print a script that completes commands and options in a shell',
    load: async () => (await import('./commands/completion.ts')).completionOf(commands),
  },
];
