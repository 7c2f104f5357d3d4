/** Refuses koffi, for a process that must not load it. */

import { register } from 'node:module';

const hooks = `export async function resolve(specifier, context, next) {
  if (specifier === 'koffi') throw new Error('koffi was loaded');
  return next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
