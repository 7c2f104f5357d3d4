/** Paths, bodies and answers of the A1111 API in its tests. */

export const api = (path: string): string => `/sdapi/v1/${path}`;
export interface Generation {
  readonly images: readonly string[];
  readonly parameters: Record<string, unknown>;
  readonly info: string;
}
export const small = { steps: 2, width: 64, height: 64, prompt: 'a red apple', seed: 7 };

export const infotextOf = ({ info }: Generation): string =>
  (JSON.parse(info) as { infotexts: string[] }).infotexts[0] ?? '';
