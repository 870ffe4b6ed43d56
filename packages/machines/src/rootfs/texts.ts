/** Files with fixed text in a rootfs, and its empty directories. */
import { rootCertificates } from "node:tls";

/** Empty directories of a tree, used as mount points by drivers. */
export const mountPoints: readonly string[] = ["/proc", "/dev", "/tmp", "/nex", "/work"];

/** Files that are identical in every tree. They define no password, shell or resolver. */
export function rootfsTexts(): Record<string, string> {
  return {
    "/etc/group": "root:x:0:\nnex:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "/etc/passwd": [
      "root:x:0:0:root:/:/sbin/nologin",
      "nex:x:1000:1000:nex:/work:/sbin/nologin",
      "nobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    ].join("\n"),
    "/etc/resolv.conf": "",
    "/etc/ssl/certs/ca-certificates.crt": `${rootCertificates.join("\n")}\n`,
  };
}
