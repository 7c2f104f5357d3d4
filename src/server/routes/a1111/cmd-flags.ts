/** GET /sdapi/v1/cmd-flags: A1111's command line: only flags that clients use, without paths. */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';

export const cmdFlags = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/cmd-flags',
  summary: "Flags of A1111's command line",
  flavour: 'a1111',
  response: z.record(z.string(), z.unknown()),
  handle: async () =>
    json({
      api: true,
      nowebui: false,
      api_log: false,
      api_server_stop: false,
      no_half: true,
      use_cpu: ['all'],
      listen: false,
      share: false,
      ui_settings_file: 'config.json',
      ckpt: null,
      lora_dir: null,
      theme: null,
      precision: 'full',
    }),
});
