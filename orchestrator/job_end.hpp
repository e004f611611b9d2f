#pragma once

namespace lathe {

/// In a batch job whose end the environment does not tell, or tells wrongly (a job that was put
/// back into the queue may still see the end of its life before): asks Slurm, and sets a deadline
/// before it (StopRequest). Says in the log what it found. On rank 0 only.
void set_deadline_of_batch_job();

}  // namespace lathe
