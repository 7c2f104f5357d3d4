/** Public functions of the library with arguments of the wrong kind: each failure is the library's own error, in one line. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StableDiffusionError } from '../../src/errors.ts';
import * as node from '../../src/index.ts';
import * as web from '../../src/index-web.ts';

const wrong: readonly unknown[] = [undefined, null, 5, 'x', {}, [], () => {}, Number.NaN, Promise.resolve({}), 10n];

async function call(make: (value: unknown) => unknown, value: unknown): Promise<void> {
  const made = await make(value);
  if (typeof made !== 'object' || made === null) return;
  if (Symbol.asyncIterator in made) for await (const _ of made as AsyncIterable<unknown>) break;
  if ('dispose' in made && typeof made.dispose === 'function') await made.dispose();
}

for (const [platform, library] of Object.entries({ node, web })) {
  test(`${platform}: a wrong argument is refused in a line`, async () => {
    const faults: string[] = [];
    for (const [name, value] of Object.entries(library)) {
      // A class, and a value that is made by `new`.
      if (typeof value !== 'function' || /^class\b/.test(String(value))) continue;
      for (const argument of wrong) {
        try {
          await call(value as (value: unknown) => unknown, argument);
        } catch (error) {
          if (!(error instanceof StableDiffusionError) || error.message.includes('\n'))
            faults.push(`${name}(${String(argument)}): ${error}`);
        }
      }
    }
    assert.deepEqual(faults, []);
  });
}

const refused = (code: string, message: RegExp) => ({ name: 'StableDiffusionError', code, message });

test('unknown options are refused, with the nearest name', async () => {
  await assert.rejects(
    node.loadModel(undefined, { precison: 'float16' } as object),
    refused('invalid-argument', /^Unknown option "precison" of loadModel\. Did you mean precision\?$/),
  );
  await assert.rejects(
    web.loadModel(new Blob([]), { confg: '' } as object),
    refused('invalid-argument', /^Unknown option "confg" of loadModel\. Did you mean config\?$/),
  );
  assert.throws(
    () => node.createNodeEngine({ thread: 2 } as object),
    refused('invalid-argument', /Did you mean threads\?$/),
  );
  assert.throws(() => node.createNodeEngine({ provider: 'gpu' as 'cpu' }), refused('invalid-argument', /it is "gpu"/));
  assert.throws(() => node.createNodeEngine({ threads: -1 }), refused('invalid-argument', /it is -1/));
});

test('frequent slips are named', async () => {
  const model = node.loadModel();
  await assert.rejects(
    node.pictures(node.textToImage(model as unknown as node.Model, { prompt: 'x' })),
    refused('invalid-argument', /^The model must be a loaded one.*a promise; await it first/),
  );
  await (await model).dispose();
  const image = { width: 1, height: 1, channels: 3, data: new Uint8ClampedArray(3) };
  await assert.rejects(
    node.saveImage('x.png', image as never),
    refused('invalid-argument', /^The picture must be one of a run's pictures/),
  );
  await assert.rejects(node.saveImage(image as never, 'x.png' as never), refused('invalid-argument', /^The path/));
});
