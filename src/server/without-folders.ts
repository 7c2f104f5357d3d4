/** Removes folders from messages to callers: they name files, but never the folders of this machine. */

/** An absolute path up to its last part; not the middle of `image/png` or of a URL. */
const folders = /(?<![\w.:/\\-])(?:[A-Za-z]:)?[\\/](?:[^\s"'`\\/:,;]+[\\/])+/g;

export const withoutFolders = (text: string): string => text.replace(folders, '');
