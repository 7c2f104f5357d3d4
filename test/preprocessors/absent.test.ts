/** Modules of sd-webui-controlnet that are not here say what they need. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whyAbsent } from '../../src/preprocessors/absent-preprocessors.ts';
import { preprocessorNamed, preprocessors } from '../../src/preprocessors/index.ts';

test('a module that needs a network which is not here is refused by the name of that network', () => {
  for (const [name, network] of [
    ['seg_ofade20k', 'OneFormer'],
    ['oneformer_coco', 'OneFormer'],
    ['dw_openpose_full', 'DWPose'],
    ['depth_leres++', 'LeReS'],
    ['densepose (pruple bg & purple torso)', 'DensePose'],
    ['inpaint_only+lama', 'LaMa'],
  ] as const)
    assert.throws(() => preprocessorNamed(name), {
      code: 'invalid-argument',
      message: `${name} of sd-webui-controlnet needs ${network}, which is not supported. Send a finished map without a preprocessor.`,
    });
  assert.throws(() => preprocessorNamed('magic'), { message: /^There is no preprocessor magic; there are / });
});

test('no module is here and absent at once', () => {
  for (const { name, title } of preprocessors)
    assert.deepEqual([whyAbsent(name), whyAbsent(title)], [undefined, undefined]);
});
