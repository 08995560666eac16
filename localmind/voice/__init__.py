"""Speech to text. The worker half (worker, recognizer, audio, gate, live) runs beside native code in a process of
its own; the daemon half (voice, plan, choice) imports none of it. The microphone is not here: it belongs to the
user's terminal, in localmind.microphone."""
