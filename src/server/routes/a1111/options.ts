/** GET and POST /sdapi/v1/options. Options belong to the caller's key: nobody changes another's. */

import * as z from 'zod';
import { atField, unfit } from '../../http/problem.ts';
import { defineRoute, json } from '../../http/route.ts';
import type { OptionValue } from '../../options-store.ts';
import { checkOptions, optionsOf } from './option-table.ts';

export const getOptions = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/options',
  summary: 'The options',
  flavour: 'a1111',
  response: z.record(z.string(), z.unknown()),
  handle: async (context, { owner }) => json(optionsOf(context, owner)),
});

export const setOptions = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/options',
  summary: 'Sets options; unknown ones are ignored',
  flavour: 'a1111',
  body: z.record(z.string(), z.unknown()),
  response: z.null(),
  async handle(context, { owner, body }) {
    const checked = checkOptions(body);
    if (!checked.success) throw unfit(['body'], checked.error);
    // Derived values are not stored, null leaves an option unchanged, and the model is stored by its name.
    const { sd_checkpoint_hash: _hash, sd_model_checkpoint, ...others } = checked.data;
    const changes: Record<string, OptionValue> = Object.fromEntries(
      Object.entries(others).filter(([, value]) => value !== null),
    );
    if (typeof sd_model_checkpoint === 'string' && sd_model_checkpoint !== '') {
      changes['sd_model_checkpoint'] = (
        await atField(['body', 'sd_model_checkpoint'], () => context.catalog.find(sd_model_checkpoint))
      ).name;
    }
    await context.options.set(owner, changes);
    return json(null);
  },
});
