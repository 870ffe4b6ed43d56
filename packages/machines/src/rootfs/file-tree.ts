import { join } from "node:path";
import { MachineError } from "../errors.ts";

/** Where the bytes of a file come from. One that somebody else may change is copied, never linked to. */
export type Source = { path: string; mayChange?: true } | { text: string };

/** A file of a tree that is to be. */
export interface FileNode {
  kind: "file";
  source: Source;
  executable: boolean;
  /** Not everybody may read it; absent of a file of Nex's own, which has no permissions yet. */
  isPrivate?: boolean;
}

/** A symbolic link of a tree that is to be. */
export interface LinkNode {
  kind: "link";
  target: string;
}

/** A directory of a tree that is to be. */
export interface DirectoryNode {
  kind: "directory";
  children: Map<string, TreeNode>;
  /** Not everybody may enter it. */
  isPrivate?: boolean;
}

/** What stands at a place, and which layer has put it there. */
export type TreeNode = (FileNode | LinkNode | DirectoryNode) & { layer?: number };

/** A tree as lists, each in the order of places. */
export interface TreeList {
  files: [place: string, file: FileNode][];
  links: [place: string, target: string][];
  /** Those that hold nothing. */
  directories: string[];
  /** What not everybody may read, which is in no list. */
  hidden: string[];
}

const entriesMax = 65_536;
const linksFollowedMax = 40;
const nameBytesMax = 255;
const placeBytesMax = 4_000;

/**
 * A tree that is to be: what will stand where. Nothing is written for it, so no link in it can lead a writer elsewhere:
 * links are followed in the tree alone, where `..` ends at the root as it does in a machine.
 */
export class FileTree {
  readonly #root: DirectoryNode & { layer?: number } = { kind: "directory", children: new Map() };
  /** What the tree is called in errors. */
  readonly #title: string;
  #entries = 0;

  constructor(title = "the tree") {
    this.#title = title;
  }

  /**
   * Puts something at a place; the links of the directories above are followed, those that are missing are made. It takes
   * the place of what stands there, but a directory is joined with a directory.
   *
   * @returns where it is then.
   * @throws MachineError `rootfs_failed`
   */
  put(
    place: string,
    node: FileNode | LinkNode | { kind: "directory"; isPrivate?: boolean },
    layer = 0,
  ): string {
    const names = this.namesOf(place);
    const last = names.pop();
    if (last === undefined) return "/";
    const above = this.#directory(names, layer);
    const path = `/${[...above.names, last].join("/")}`;
    const standing = above.node.children.get(last);
    if (node.kind === "link") this.#demandInside(path, above.names.length, node.target);
    if (node.kind === "directory" && standing?.kind === "directory") {
      Object.assign(standing, node, { layer });
      return path;
    }
    const placed: TreeNode = node.kind === "directory" ? { ...node, children: new Map() } : { ...node };
    placed.layer = layer;
    above.node.children.set(last, placed);
    if (standing === undefined) this.#count();
    return path;
  }

  /** What stands at a place, where the links of the directories above are followed. */
  find(place: string): TreeNode | undefined {
    const names = this.namesOf(place);
    const last = names.pop();
    return last === undefined ? this.#root : this.#directory(names)?.node.children.get(last);
  }

  /** Removes what a layer below this one has put to a place. */
  removeLower(place: string, layer: number): void {
    const names = this.namesOf(place);
    const last = names.pop();
    const above = this.#directory(names);
    const standing = last === undefined ? undefined : above?.node.children.get(last);
    if (above === undefined || last === undefined || standing === undefined) return;
    if ((standing.layer ?? 0) < layer) above.node.children.delete(last);
    else if (standing.kind === "directory") removeLowerChildren(standing, layer);
  }

  /** Removes what layers below this one have put into a directory. */
  emptyLower(place: string, layer: number): void {
    const directory = this.#directory(this.namesOf(place))?.node;
    if (directory !== undefined) removeLowerChildren(directory, layer);
  }

  /** Makes a place an empty directory. */
  clear(place: string): void {
    const names = this.namesOf(place);
    const last = names.pop();
    if (last === undefined) return;
    this.#directory(names, 0).node.children.set(last, { kind: "directory", children: new Map() });
  }

  /** What is in the tree; what not everybody may read is left out. */
  list(): TreeList {
    const list: TreeList = { files: [], links: [], directories: [], hidden: [] };
    addToList(list, "/", this.#root);
    const byPlace = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : 1);
    list.files.sort(byPlace);
    list.links.sort(byPlace);
    list.directories.sort();
    list.hidden.sort();
    return list;
  }

  /**
   * The names in a place, which may begin with `/` or `./`.
   *
   * @throws MachineError `rootfs_failed` when it leads upwards, or has a name that no image can hold.
   */
  namesOf(place: string): string[] {
    const names = place.split("/").filter((name) => name !== "" && name !== ".");
    const isOdd = names.some(
      (name) => name === ".." || isOddText(name) || Buffer.byteLength(name) > nameBytesMax,
    );
    if (!isOdd && Buffer.byteLength(place) <= placeBytesMax) return names;
    throw this.#failed(`"${shown(place)}" is no place in a rootfs`);
  }

  #directory(names: readonly string[], layer: number): { node: DirectoryNode; names: string[] };
  #directory(names: readonly string[]): { node: DirectoryNode; names: string[] } | undefined;
  #directory(names: readonly string[], layer?: number): { node: DirectoryNode; names: string[] } | undefined {
    const path: { name: string; node: DirectoryNode & { layer?: number } }[] = [];
    const ahead = [...names].reverse();
    let linksFollowed = 0;
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        path.pop();
        continue;
      }
      const { node } = path.at(-1) ?? { node: this.#root };
      let child = node.children.get(name);
      if (child?.kind === "link") {
        linksFollowed += 1;
        if (linksFollowed > linksFollowedMax) throw this.#failed(`its links lead around at "${shown(name)}"`);
        if (child.target.startsWith("/")) path.length = 0;
        ahead.push(...child.target.split("/").reverse());
        continue;
      }
      if (child?.kind !== "directory") {
        if (layer === undefined) return undefined;
        if (child === undefined) this.#count();
        child = { kind: "directory", children: new Map() };
        node.children.set(name, child);
      }
      if (layer !== undefined) child.layer = layer;
      path.push({ name, node: child });
    }
    return { node: path.at(-1)?.node ?? this.#root, names: path.map(({ name }) => name) };
  }

  /** A link may go up, and from the root, but not above it: outside of a machine the tree has something above. */
  #demandInside(path: string, depth: number, target: string): void {
    let at = target.startsWith("/") ? 0 : depth;
    const isOdd = target === "" || isOddText(target) || Buffer.byteLength(target) > placeBytesMax;
    for (const name of target.split("/")) {
      if (name === "..") at -= 1;
      else if (name !== "" && name !== ".") at += 1;
      if (at < 0 || isOdd)
        throw this.#failed(`its link "${shown(path)}" leads out of it, to "${shown(target)}"`);
    }
  }

  #count(): void {
    this.#entries += 1;
    if (this.#entries > entriesMax) throw this.#failed(`it has over ${entriesMax} entries`);
  }

  #failed(why: string): MachineError {
    return new MachineError("rootfs_failed", `Cannot use ${this.#title}: ${why}`);
  }
}

function removeLowerChildren({ children }: DirectoryNode, layer: number): void {
  for (const [name, child] of children) {
    if ((child.layer ?? 0) < layer) children.delete(name);
    else if (child.kind === "directory") removeLowerChildren(child, layer);
  }
}

function addToList(list: TreeList, place: string, { children }: DirectoryNode): void {
  for (const [name, child] of children) {
    const inside = join(place, name);
    if (child.kind === "link") list.links.push([inside, child.target]);
    else if (child.kind === "file") {
      if (child.isPrivate === true) list.hidden.push(inside);
      else list.files.push([inside, child]);
    } else if (child.children.size === 0) list.directories.push(inside);
    else if (child.isPrivate === true) {
      list.hidden.push(inside);
      const previous = list.files.length;
      addOwn(list, inside, child);
      if (list.files.length === previous) list.directories.push(inside);
    } else addToList(list, inside, child);
  }
}

/** Of a directory that not everybody may enter there is only what did not come with it. */
function addOwn(list: TreeList, place: string, { children }: DirectoryNode): void {
  for (const [name, child] of children) {
    const inside = join(place, name);
    if (child.kind === "file" && child.isPrivate === undefined) list.files.push([inside, child]);
    else if (child.kind === "directory") addOwn(list, inside, child);
  }
}

/** Control characters, or what was not UTF-8: no list of an image shows them as they are. */
function isOddText(text: string): boolean {
  return /[\p{Cc}\ufffd]/u.test(text);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 200)).slice(1, -1);
}
