/** A file of a repository, as the hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** SHA-256 of a large file, or the id of a git blob (SHA-1 over `blob SIZE\0` and the content). */
  readonly etag: string;
}
