/** What is told to callers names files and never the folders of this machine that they lie in. */

/** An absolute path up to its last part; not the middle of `image/png` or of a URL. */
const folders = /(?<![\w.:/\\-])(?:[A-Za-z]:)?[\\/](?:[^\s"'`\\/:,;]+[\\/])+/g;

export const withoutFolders = (text: string): string => text.replace(folders, '');
