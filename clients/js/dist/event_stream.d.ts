export interface StreamEvent {
    /** The name; "message" if the event has none. */
    type: string;
    data: string;
    /** The last `id` that the stream has said, with this event or before. */
    id: string;
}
/** What takes the stream's text, chunk by chunk, and returns the events that are complete. */
export declare function eventStream(onRetry: (ms: number) => void): (chunk: string) => StreamEvent[];
