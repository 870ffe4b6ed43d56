/** Headers by which an HTTP request goes to a function, and by which the function's reply becomes a response. */

export const httpHeaders = {
  method: "Nex-Http-Method",
  /** As sent, without the query. */
  path: "Nex-Http-Path",
  /** Without the question mark. */
  query: "Nex-Http-Query",
  /** In lower case, without a port. */
  host: "Nex-Http-Host",
  /** `http` or `https`. */
  scheme: "Nex-Http-Scheme",
  /** Address of the client, or of the proxy in front of the listener. */
  client: "Nex-Http-Client",
  /** The matched route as the deploy has it. */
  route: "Nex-Http-Route",
  /** Public key of the user whose token the listener has verified. */
  user: "Nex-Http-User",
  /** Names the request in answers and logs. */
  requestId: "Nex-Http-Request-Id",
  /** Set by a function: the status of the response. */
  status: "Nex-Http-Status",
} as const;

/** Header of a parameter of the route; `*` is the name of the rest. */
export const httpParamHeader = (name: string): string => `Nex-Http-Param-${name}`;
