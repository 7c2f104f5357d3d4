/** Extra networks are taken out of prompts. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { parseExtraNetworks } from '../../src/server/extra-networks.ts';

test('extra networks in a prompt', () => {
  const used = (prompt: string) => parseExtraNetworks(prompt);
  assert.deepEqual(used('a <lora:x:0.5>cat <b>'), {
    text: 'a cat <b>',
    loras: [{ name: 'x', scale: 0.5, textScale: 0.5 }],
    hypernetworks: [],
    warnings: [],
  });
  assert.deepEqual(used('<lora:x:0.5:1>').loras, [{ name: 'x', scale: 1, textScale: 0.5 }]);
  assert.deepEqual(used('<lora:x:te=0.1:unet=-2>').loras, [{ name: 'x', scale: -2, textScale: 0.1 }]);
  assert.deepEqual(used('<lora:x><hypernet:y:1>').loras, [{ name: 'x', scale: 1, textScale: 1 }]);
  assert.deepEqual(used('<hypernet:y:0.5><hypernet:z><hypernet:y:2>').hypernetworks, [
    { name: 'y', scale: 2 },
    { name: 'z', scale: 1 },
    { name: 'y', scale: 2 },
  ]);
  assert.deepEqual(parseExtraNetworks('a <cat:1.2> <lora:y:2> # <lora:z:1>', 'a1111'), {
    text: 'a   \n',
    loras: [{ name: 'y', scale: 2, textScale: 2 }],
    hypernetworks: [],
    warnings: ['<cat:1.2> is not supported and was left out.'],
  });
  assert.deepEqual(used('a <cat:1.2> <lora:>'), {
    text: 'a <cat:1.2> <lora:>',
    loras: [],
    hypernetworks: [],
    warnings: [],
  });
});
