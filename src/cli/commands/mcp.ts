/** `sd mcp`: tools for assistants, by the Model Context Protocol on standard input and output. */

import { randomInt } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { defineCommand } from '../command.ts';
import { namedModelPath } from '../download-progress.ts';
import { engineOptions, memoryOf, memoryOptions, precisionOf, startEngine } from '../engine-options.ts';
import { integer, text } from '../options.ts';
import { untilAborted } from '../server-options.ts';

const options = {
  model: text(['--model', '--ckpt'], 'MODEL', 'default model: a file, a folder or a name (default: the bundled model)'),
  models: text(['--models'], 'DIR', 'folder of further models to choose from'),
  outdir: text(['--outdir'], 'DIR', 'folder for the pictures (default: outputs)'),
  modelsInMemory: integer(['--models-in-memory'], 'models kept in memory (default: 1)', { min: 1, max: 64 }),
  settings: text(
    ['--config'],
    'FILE',
    'YAML file of options by their names; each is also an environment variable, such as SD_MODEL',
  ),
  ...engineOptions,
  ...memoryOptions,
};

/** Bytes of one message: a picture as base64. */
const longestMessage = 64 * 2 ** 20;

/**
 * Whole lines, in Node's own buffers. The SDK joins and searches all of a message for every piece of it that comes, which takes seconds for a
 * large picture. Beyond the limit the pieces go on as they are, and the SDK refuses them.
 */
async function* buffers(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const { buffer, byteOffset, length } of input) {
    const piece = Buffer.from(buffer, byteOffset, length);
    pieces.push(piece);
    size += length;
    if (!piece.includes(10) && size <= longestMessage) continue;
    yield Buffer.concat(pieces.splice(0));
    size = 0;
  }
  yield Buffer.concat(pieces);
}

export const mcp = defineCommand({
  description:
    'A server of the Model Context Protocol for assistants such as Claude Desktop and Cursor, on standard input and output. Its tools: generate_image, edit_image, list_models.',
  options,
  takesSettings: true,
  examples: ['sd mcp', 'sd mcp --model sd-v1-5 --outdir ~/Pictures'],
  async run(context, _words, values) {
    const { StdioServerTransport } = await import('@modelcontextprotocol/sdk/server/stdio.js');
    const { createMcpServer } = await import('../../server/mcp/mcp-server.ts');
    const { openModelCatalog } = await import('../../server/models/model-catalog.ts');
    const { createModelPool } = await import('../../server/models/model-pool.ts');
    const { openPictureFolder } = await import('../../server/store/picture-folder.ts');
    const { loadModel, pocketModel } = await import('../../model/load-model-node.ts');
    const { programName } = await import('../../generation/record.ts');
    const model = (await namedModelPath(context, values.model)) ?? pocketModel;
    const catalog = await openModelCatalog({ model, folder: values.models });
    const engine = await startEngine(values, context);
    const models = createModelPool({
      catalog,
      capacity: values.modelsInMemory ?? 1,
      load: (path) => loadModel(path, { engine, precision: precisionOf(values, engine), ...memoryOf(values) }),
    });
    const server = createMcpServer({
      catalog,
      models,
      outputs: openPictureFolder({ folder: values.outdir ?? 'outputs', byOwner: false, now: Date.now }),
      version: programName.split(' ')[1] ?? '',
      random: (limit) => randomInt(limit),
    });
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        context.out.control(chunk.toString('utf8'));
        done();
      },
    });
    // The end of the input is the end of the conversation.
    const ended = new AbortController();
    const input = Readable.from(buffers(context.input));
    input.once('end', () => ended.abort());
    await server.connect(new StdioServerTransport(input, output, { maxBufferSize: longestMessage }));
    try {
      await untilAborted(AbortSignal.any([context.signal, ended.signal]));
    } finally {
      await server.close();
      await models.close();
      await engine.dispose();
    }
    return 0;
  },
});
