/** Sources and cache of models: the settings of Python's `huggingface_hub`, by the same environment variables. */

export interface HubSettings {
  /** `HF_ENDPOINT`. */
  readonly endpoint: string;
  /** `HF_TOKEN`. */
  readonly token: string | undefined;
  /** `HF_HUB_CACHE`: the folder of `models--ORG--NAME`. */
  readonly cache: string;
  /** Cache folder for models from other addresses. */
  readonly ownCache: string;
  /** `HF_HUB_OFFLINE`: nothing is requested. */
  readonly offline: boolean;
  /** `CIVITAI_ENDPOINT`. */
  readonly civitaiEndpoint: string;
  /** `CIVITAI_TOKEN`. */
  readonly civitaiToken: string | undefined;
  /** Instead of the program's own connections. */
  readonly fetch?: typeof fetch;
}

/** Settings by the environment. `home` is the person's folder; `savedToken` what `hf auth login` saved. */
export function hubSettings(
  environment: Readonly<Record<string, string | undefined>>,
  home: string,
  savedToken?: (path: string) => string | undefined,
): HubSettings {
  const caches = environment['XDG_CACHE_HOME'] || `${home}/.cache`;
  const huggingFace = environment['HF_HOME'] || `${caches}/huggingface`;
  const expanded = (path: string): string => (path.startsWith('~/') ? `${home}${path.slice(1)}` : path);
  const isSet = (name: string): boolean => /^(?:1|on|yes|true)$/i.test(environment[name] ?? '');
  const token =
    environment['HF_TOKEN'] ||
    environment['HUGGING_FACE_HUB_TOKEN'] ||
    (isSet('HF_HUB_DISABLE_IMPLICIT_TOKEN') ? undefined : savedToken?.(`${expanded(huggingFace)}/token`));
  return {
    endpoint: withoutSlashes(environment['HF_ENDPOINT'] || 'https://huggingface.co'),
    token: token?.trim() || undefined,
    cache: expanded(environment['HF_HUB_CACHE'] || environment['HUGGINGFACE_HUB_CACHE'] || `${huggingFace}/hub`),
    ownCache: `${expanded(caches)}/stable-diffusion-ts`,
    offline: isSet('HF_HUB_OFFLINE') || isSet('TRANSFORMERS_OFFLINE'),
    civitaiEndpoint: withoutSlashes(environment['CIVITAI_ENDPOINT'] || 'https://civitai.com'),
    civitaiToken: environment['CIVITAI_TOKEN'] || environment['CIVITAI_API_KEY'] || undefined,
  };
}

/** An address without slashes at its end. */
function withoutSlashes(address: string): string {
  let end = address.length;
  while (address[end - 1] === '/') end--;
  return address.slice(0, end);
}
