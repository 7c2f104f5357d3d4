/** The commands of the CLI: one file in commands/ and one row here each. A command is loaded only when it runs, to start fast. */

import type { CommandEntry } from './command.ts';

export const commands: readonly CommandEntry[] = [
  {
    name: 'txt2img',
    summary: 'generate pictures from a prompt',
    load: async () => (await import('./commands/txt2img.ts')).txt2img,
  },
  {
    name: 'img2img',
    summary: 'generate pictures from a prompt and a picture',
    load: async () => (await import('./commands/img2img.ts')).img2img,
  },
  {
    name: 'inpaint',
    summary: 'regenerate a masked part of a picture',
    load: async () => (await import('./commands/inpaint.ts')).inpaintCommand,
  },
  {
    name: 'plot',
    summary: 'generate a grid of pictures whose settings change',
    load: async () => (await import('./commands/plot.ts')).plot,
  },
  {
    name: 'knn2img',
    summary: 'generate pictures from a prompt and its neighbours in a database',
    load: async () => (await import('./commands/knn2img.ts')).knn2img,
  },
  {
    name: 'database',
    summary: 'make a database of embeddings for knn2img',
    load: async () => (await import('./commands/database.ts')).database,
  },
  {
    name: 'sample',
    summary: 'sample a model in bulk: thousands of pictures, resumable',
    load: async () => (await import('./commands/sample.ts')).sample,
  },
  {
    name: 'replay',
    summary: 'reproduce a picture from the settings in its file, and compare',
    load: async () => (await import('./commands/replay.ts')).replay,
  },
  {
    name: 'run',
    summary: "run a workflow of ComfyUI's",
    load: async () => (await import('./commands/run.ts')).run,
  },
  {
    name: 'workflow',
    summary: "check a workflow of ComfyUI's, or write one from a picture",
    load: async () => (await import('./commands/workflow.ts')).workflow,
  },
  {
    name: 'upscale',
    summary: 'enlarge pictures with an upscaler',
    load: async () => (await import('./commands/upscale.ts')).upscale,
  },
  {
    name: 'restore-faces',
    summary: 'make the faces of pictures clear',
    load: async () => (await import('./commands/restore-faces.ts')).restoreFacesCommand,
  },
  {
    name: 'preprocess',
    summary: 'draw edges, lines, depth or a pose for a control network',
    load: async () => (await import('./commands/preprocess.ts')).preprocess,
  },
  {
    name: 'interrogate',
    summary: 'describe pictures in words',
    load: async () => (await import('./commands/interrogate.ts')).interrogateCommand,
  },
  {
    name: 'pull',
    summary: 'download a model by its name',
    load: async () => (await import('./commands/pull.ts')).pull,
  },
  {
    name: 'models',
    summary: 'list the models that are kept',
    load: async () => (await import('./commands/models.ts')).models,
  },
  {
    name: 'rm',
    summary: 'remove a model that is kept',
    load: async () => (await import('./commands/rm.ts')).rm,
  },
  {
    name: 'cache',
    summary: 'list or remove the weights that are kept for int8',
    load: async () => (await import('./commands/cache.ts')).cache,
  },
  {
    name: 'inspect',
    summary: 'show what a weights file contains, and the settings in a picture',
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  {
    name: 'samplers',
    summary: 'list samplers and spacings of steps',
    load: async () => (await import('./commands/samplers.ts')).samplers,
  },
  {
    name: 'convert',
    summary: 'convert weights to another layout or element type',
    load: async () => (await import('./commands/convert.ts')).convertCommand,
  },
  {
    name: 'merge',
    summary: 'merge checkpoints into one',
    load: async () => (await import('./commands/merge.ts')).merge,
  },
  {
    name: 'tokenize',
    summary: 'convert texts to token ids',
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
    name: 'data',
    summary: 'count and filter data sets of pictures with captions',
    load: async () => (await import('./commands/data.ts')).data,
  },
  {
    name: 'eval',
    summary: 'evaluate pictures, autoencoders and models',
    load: async () => (await import('./commands/eval.ts')).evalCommand,
  },
  {
    name: 'serve',
    summary: "serve A1111's API, OpenAI's images API, a jobs API and a web page",
    load: async () => (await import('./commands/serve.ts')).serve,
  },
  {
    name: 'worker',
    summary: 'process jobs from a shared Redis queue',
    load: async () => (await import('./commands/worker.ts')).worker,
  },
  {
    name: 'mcp',
    summary: 'tools for assistants (Model Context Protocol)',
    load: async () => (await import('./commands/mcp.ts')).mcp,
  },
  {
    name: 'completion',
    summary: 'print a shell completion script',
    load: async () => (await import('./commands/completion.ts')).completionOf(commands),
  },
];
