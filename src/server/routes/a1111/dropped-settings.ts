/** Settings of A1111 that have no effect here. The caller hears of each in `info.warnings`, the operator in the log. */

import type { ServerContext } from '../../context.ts';
import { facesOf } from './faces-of.ts';
import type { ImageToImageFields, TextToImageFields } from './generation-fields.ts';
import { type Options, requestOptions } from './request-options.ts';
import { unusedOptions } from './unused-options.ts';

/** Values by which A1111 names its own default of an option. */
export const noChoice: ReadonlySet<unknown> = new Set([undefined, null, '', 'None', 'Automatic', 'none']);

/** The autoencoder of the option `sd_vae`, by the catalogue's name; or a name that there is not, which A1111 passes over with a line. */
export function vaeNameOf(
  { vaes }: Pick<ServerContext, 'vaes'>,
  options: Options,
): { readonly vae?: string; readonly missing?: string } {
  const wanted = options['sd_vae'];
  if (typeof wanted !== 'string' || noChoice.has(wanted)) return {};
  const found = vaes.find(wanted);
  return found ? { vae: found.name } : { missing: wanted.slice(0, 100) };
}

/** One line for each setting that a request makes and that is left out. */
export function droppedSettings(
  context: ServerContext,
  owner: string,
  body: TextToImageFields | ImageToImageFields,
): readonly string[] {
  const overrides = body.override_settings ?? {};
  const options = requestOptions(context, owner, overrides);
  const rows: readonly (readonly [name: string, isSet: boolean])[] = [
    ...(body.styles ?? []).map(
      (name) =>
        [
          `the style ${String(name).slice(0, 100)}`,
          !noChoice.has(name) && !context.styles.some((one) => one.name === name),
        ] as const,
    ),
    ['s_min_uncond', (body.s_min_uncond ?? 0) > 0],
    ['firstpass_image', !noChoice.has(body.firstpass_image)],
    ['latent_mask', 'latent_mask' in body && !noChoice.has(body.latent_mask)],
    ['sd_hypernetwork', !noChoice.has(options['sd_hypernetwork'])],
    ...Object.entries(unusedOptions).map(
      ([name, value]) =>
        [
          `the option ${name}`,
          options[name] !== value && !(noChoice.has(value) && noChoice.has(options[name])),
        ] as const,
    ),
  ];
  const vae = vaeNameOf(context, options);
  return [
    ...(vae.missing === undefined ? [] : [`Couldn't find VAE named ${vae.missing}; using None instead`]),
    ...facesOf(context, body, options).warnings,
    ...rows.flatMap(([name, isSet]) => (isSet ? [`${name} is not supported by this server and was left out.`] : [])),
  ];
}
